--[[
Enrols children of a partition in a release: each reads Todo, all its stages Pending, and is offered the release at its next
poll. Idempotent: whoever has a record already is left as it is, but for an offer made under an older epoch. One atomic step:
a child leaves the set from which it comes when it's counted.

KEYS  agg    {p}:r:<release>:agg    hash  counts; @cursor and @mark of the walk over the partition. The same of the children of
                                          a location under agg:<membership>
      index  {p}:r:<release>:idx    zset
      from   zset, where they come from: {p}:seen, last seen (ms) -> id; or those who are put in order: {p}:r:<release>:order,
             {p}:r:<release>:todo:<location>
      sizes  {p}:r:<release>:sizes  hash  n:<location> members of a location here
ARGV  release, its tag, epoch, attempt, membership (see membershipToken), stages, batch size, what the keys of this partition's
      children begin with, the unfinished releases between spaces, the channel for news, offer, then what is asked for:
      'walk', joined before (ms), fresh since (ms)
             the next ones by last sign of life, from @cursor on; two walks that overlap take a batch each
      'first', location in sizes or ''
             the first ones in order
      'named', location in sizes or '', fence or '', ids
             these, unless somebody else has taken the fence of their location since (see heads.lua)
      The children's hashes bear the partition's hash tag as all KEYS do; which ones they are is known only here.
Reply 1 there are no more | 0 there may be | -1 somebody else has the fence: nothing was done
]]
local agg, index, from, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local release, tag, epoch, attempt, membership = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stages, limit, prefix, channel, offer, mode = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[10], ARGV[11], ARGV[12]
local joined_before, fresh_since = tonumber(ARGV[13]), ARGV[14]
if mode ~= 'walk' then joined_before = math.huge end
local location = mode ~= 'walk' and ARGV[13] or ''
local unfinished = {}
for other in string.gmatch(ARGV[9], '%S+') do unfinished[other] = true end

-- The ids to enrol, and the new cursor of a walk. A walk without one is through.
local last = false
local function batch()
  if mode == 'first' then return redis.call('ZRANGE', from, 0, limit - 1) end
  if mode == 'named' then
    local ids = {}
    for i = 15, #ARGV do ids[#ids + 1] = ARGV[i] end
    return ids
  end
  -- Whoever comes late must not add to a partition that is marked: gates open on the number that the mark holds.
  local walk = redis.call('HMGET', agg, '@mark', '@cursor')
  if walk[1] then return {} end
  -- The cursor is exclusive: one millisecond earlier to take those in who were seen right then.
  local cursor = walk[2] or string.format('%.0f', tonumber(fresh_since) - 1)
  local rows = redis.call('ZRANGE', from, '(' .. cursor, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
  local ids = {}
  for i = 1, #rows, 2 do ids[#ids + 1] = rows[i] end
  if #ids > 0 then cursor = rows[#rows] end
  if #ids < limit then
    last = true
    return ids, cursor
  end
  -- All of the last millisecond together, otherwise the next batch would skip the rest of it.
  local known = {}
  for _, id in ipairs(ids) do known[id] = true end
  for _, id in ipairs(redis.call('ZRANGE', from, cursor, cursor, 'BYSCORE')) do
    if not known[id] then ids[#ids + 1] = id end
  end
  return ids, cursor
end

local zeros = string.rep('0', stages)
local head = table.concat({1, attempt, epoch, 0, zeros, zeros, 0, membership}, ' ')

local function with_offer(pending)
  if not pending then return offer end
  local entries = {}
  for entry in string.gmatch(pending, '%S+') do
    -- Offers of releases that are over are void: dropped, or each poll would read them for ever.
    local other = string.match(entry, '^[^:]+')
    if other ~= release and unfinished[other] then entries[#entries + 1] = entry end
  end
  entries[#entries + 1] = offer
  return table.concat(entries, ' ')
end

-- Whether a record says Todo, in this very location.
local function waits_here(record)
  local status, where = string.match(record, '^(%d) %d+ %d+ %d+ %d+ %d+ %d+ (.*)$')
  return status == '1' and where == membership
end

-- Lua can't unpack more than some thousands at a time.
local function in_slices(list, call)
  local SLICE = 2000
  for at = 1, #list, SLICE do call(unpack(list, at, math.min(at + SLICE - 1, #list))) end
end

local own = string.find(membership, '/', 1, true) and agg .. ':' .. membership
if mode == 'named' and ARGV[14] ~= '' then
  local place = string.gsub(membership, '^%+', '')
  if redis.call('HGET', agg .. ':' .. place, '@fence') ~= ARGV[14] then return -1 end
end

local ids, cursor = batch()
local enrolled, ranks = {}, {}
for _, id in ipairs(ids) do
  local key = prefix .. id
  local mine = redis.call('HMGET', key, 'f', 'p', tag)
  if mine[3] then
    if mine[1] and waits_here(mine[3]) then redis.call('HSET', key, 'p', with_offer(mine[2])) end
  elseif mine[1] and tonumber(mine[1]) <= joined_before then
    redis.call('HSET', key, tag, head, 'p', with_offer(mine[2]))
    enrolled[#enrolled + 1] = id
    ranks[#ranks + 1] = '0'
    ranks[#ranks + 1] = id
  end
end
if #enrolled > 0 then
  in_slices(ranks, function(...) redis.call('ZADD', index, ...) end)
  for _, hash in ipairs({agg, own or nil}) do
    redis.call('HINCRBY', hash, 'n', #enrolled)
    redis.call('HINCRBY', hash, 'r1', #enrolled)
  end
  -- Whoever holds a poll of one of them answers it now.
  redis.call('PUBLISH', channel, table.concat(enrolled, ' '))
end
if mode == 'walk' then
  if not cursor then return 1 end
  redis.call('HSET', agg, '@cursor', cursor)
  if last then
    local silent = redis.call('ZCOUNT', from, '-inf', '(' .. fresh_since)
    redis.call('HSET', agg, '@mark', redis.call('HGET', agg, 'n') or 0, '@silent', silent)
  end
  return last and 1 or 0
end
if #ids > 0 then
  local left = 0
  in_slices(ids, function(...) left = left + redis.call('ZREM', from, ...) end)
  -- Whoever was deleted meanwhile, or is enrolled elsewhere, is no member of the location any more.
  if location ~= '' and left > #enrolled then redis.call('HINCRBY', sizes, 'n:' .. location, #enrolled - left) end
end
return redis.call('EXISTS', from) == 0 and 1 or 0
