--[[
Enrols the next children of a partition, or one that is named, in a release: each reads Todo, all its stages Pending, and is
offered the release at its next poll. Idempotent: whoever has a record already is left as it is, but for an offer made under
an older epoch. The walk goes by last sign of life from @cursor on; two that overlap take a batch each.

KEYS  agg    {p}:r:<release>:agg    hash  counts; @cursor and @mark of the walk over the partition
      index  {p}:r:<release>:idx    zset
      order  {p}:r:<release>:order  zset  children still to come, under a plan with a location per child
      seen   {p}:seen               zset  last seen (ms) -> id
ARGV  release, its tag, epoch, attempt, location ('' = the child itself), stages, joined before (ms), fresh since (ms),
      batch size, what the keys of this partition's children begin with, the unfinished releases between spaces, the channel
      for news, the child ('' = walk). The children's hashes bear the partition's hash tag as all KEYS do; which ones they
      are is known only here.
Reply 1 the partition is done | 0 there is more to walk over
]]
local agg, index, order, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local release, tag, epoch, attempt, location = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stages, joined_before, fresh_since, limit = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local prefix, channel, child = ARGV[10], ARGV[12], ARGV[13]
local unfinished = {}
for other in string.gmatch(ARGV[11], '%S+') do unfinished[other] = true end

-- The ids to enrol, the new cursor (nil = no walk), and whether the walk ends with them.
local function batch()
  if child ~= '' then return {child}, nil, false end
  -- Whoever comes late must not add to a partition that is marked: gates open on the number that the mark holds.
  local walk = redis.call('HMGET', agg, '@mark', '@cursor')
  if walk[1] then return {}, nil, true end
  -- The cursor is exclusive: one millisecond earlier to take those in who were seen right then.
  local cursor = walk[2] or string.format('%.0f', tonumber(fresh_since) - 1)
  local rows = redis.call('ZRANGE', seen, '(' .. cursor, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
  local ids = {}
  for i = 1, #rows, 2 do ids[#ids + 1] = rows[i] end
  if #ids > 0 then cursor = rows[#rows] end
  if #ids < limit then return ids, cursor, true end
  -- All of the last millisecond together, otherwise the next batch would skip the rest of it.
  local known = {}
  for _, id in ipairs(ids) do known[id] = true end
  for _, id in ipairs(redis.call('ZRANGE', seen, cursor, cursor, 'BYSCORE')) do
    if not known[id] then ids[#ids + 1] = id end
  end
  return ids, cursor, false
end

local zeros = string.rep('0', stages)
local head = table.concat({1, attempt, epoch, 0, zeros, zeros, location}, ' ')
local offer = release .. ':' .. epoch

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

-- Lua can't unpack more than some thousands at a time.
local function in_slices(list, call)
  local SLICE = 2000
  for from = 1, #list, SLICE do call(unpack(list, from, math.min(from + SLICE - 1, #list))) end
end

local ids, cursor, done = batch()
local enrolled, ranks = {}, {}
for _, id in ipairs(ids) do
  local key = prefix .. id
  local mine = redis.call('HMGET', key, 'f', 'p', tag)
  if mine[3] then
    if mine[1] and string.sub(mine[3], 1, 1) == '1' then redis.call('HSET', key, 'p', with_offer(mine[2])) end
  elseif mine[1] and tonumber(mine[1]) <= joined_before then
    redis.call('HSET', key, tag, head, 'p', with_offer(mine[2]))
    enrolled[#enrolled + 1] = id
    ranks[#ranks + 1] = '0'
    ranks[#ranks + 1] = id
  end
end
if #enrolled > 0 then
  in_slices(ranks, function(...) redis.call('ZADD', index, ...) end)
  redis.call('HINCRBY', agg, 'n', #enrolled)
  redis.call('HINCRBY', agg, 'r1', #enrolled)
  -- Whoever holds a poll of one of them answers it now.
  redis.call('PUBLISH', channel, table.concat(enrolled, ' '))
end
if child ~= '' then redis.call('ZREM', order, child) end
if cursor then
  redis.call('HSET', agg, '@cursor', cursor)
  if done then
    local silent = redis.call('ZCOUNT', seen, '-inf', '(' .. fresh_since)
    redis.call('HSET', agg, '@mark', redis.call('HGET', agg, 'n') or 0, '@silent', silent)
  end
end
return done and 1 or 0
