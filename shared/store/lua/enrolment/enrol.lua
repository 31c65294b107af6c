--[[
Enrols children of a partition in a release: each reads Todo, all its stages Pending, and is offered the release at its next
poll. Idempotent: a child that has a record already is left as it is, but for an offer made under an older epoch. One atomic step:
a child leaves the set from which it comes when it's counted.

KEYS  agg    {p}:r:<release>:agg    hash  counts; @cursor: how far enrolling from the fleet has come; @enrolled: children
                                          enrolled, once enrolment is complete here
      index  {p}:r:<release>:idx    zset
      from   zset, where they come from: {p}:seen, last seen (ms) -> id; or children that are put in order:
             {p}:r:<release>:order, {p}:r:<release>:todo:<location>
      sizes  {p}:r:<release>:sizes  hash  n:<location> members of a location here
ARGV  release, its short id, epoch, attempt, membership (see membershipToken), stages, batch size, what the keys of this
      partition's children begin with, the unfinished releases between spaces, the channel for changed children, offer, what the
      keys of the locations' counts begin with (a membership follows), then what is asked for:
      'fleet', joined before (ms), fresh since (ms)
             the next ones by last heartbeat, from @cursor on; two jobs that overlap take a batch each
      'first', location in sizes or ''
             the first ones in order
      'named', location in sizes or '', fence or '', ids
             these, unless another job has taken the fence of their location since (see first-in-order.lua)
      The children's hashes bear the partition's hash tag as all KEYS do; which ones they are is known only here.
Reply 1 there are no more | 0 there may be | -1 another job has the fence: nothing was done
]]
-- @include domain
-- @include head
-- @include own-counts
local agg, index, from, sizes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local release, short_id, epoch, attempt, membership = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stages, limit, prefix, channel, offer = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[10], ARGV[11]
local counts_of, mode = ARGV[12], ARGV[13]
local joined_before, fresh_since = tonumber(ARGV[14]), ARGV[15]
if mode ~= 'fleet' then joined_before = math.huge end
local location = mode ~= 'fleet' and ARGV[14] or ''
local unfinished = {}
for other in string.gmatch(ARGV[9], '%S+') do unfinished[other] = true end

-- The ids to enrol, and the new cursor in the fleet. Without one, the fleet is done.
local last = false
local function batch()
  if mode == 'first' then return redis.call('ZRANGE', from, 0, limit - 1) end
  if mode == 'named' then
    local ids = {}
    for i = 16, #ARGV do ids[#ids + 1] = ARGV[i] end
    return ids
  end
  -- A late job must not add to a partition whose enrolment is complete: gates open on the number that @enrolled holds.
  local done = redis.call('HMGET', agg, '@enrolled', '@cursor')
  if done[1] then return {} end
  -- The cursor is exclusive: one millisecond earlier to take children in that were seen right then.
  local cursor = done[2] or string.format('%.0f', tonumber(fresh_since) - 1)
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
local head = format_head(RELEASE.Todo, attempt, epoch, 0, zeros, zeros, 0, membership)

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
  local status, _, _, _, _, _, _, where = parse_head(record)
  return tonumber(status) == RELEASE.Todo and where == membership
end

-- Lua can't unpack more than some thousands at a time.
local function in_slices(list, call)
  local SLICE = 2000
  for at = 1, #list, SLICE do call(unpack(list, at, math.min(at + SLICE - 1, #list))) end
end

local own = has_own_counts(membership) and counts_of .. membership
if mode == 'named' and ARGV[15] ~= '' then
  -- Members and late joiners share the fence of their location.
  local members = string.gsub(membership, '^%+', '')
  if redis.call('HGET', counts_of .. members, '@fence') ~= ARGV[15] then return -1 end
end

local ids, cursor = batch()
local enrolled, ranks = {}, {}
for _, id in ipairs(ids) do
  local key = prefix .. id
  local mine = redis.call('HMGET', key, 'f', 'p', short_id)
  if mine[3] then
    if mine[1] and waits_here(mine[3]) then redis.call('HSET', key, 'p', with_offer(mine[2])) end
  elseif mine[1] and tonumber(mine[1]) <= joined_before then
    redis.call('HSET', key, short_id, head, 'p', with_offer(mine[2]))
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
  -- A parked poll of one of them is answered now.
  redis.call('PUBLISH', channel, table.concat(enrolled, ' '))
end
if mode == 'fleet' then
  if not cursor then return 1 end
  redis.call('HSET', agg, '@cursor', cursor)
  if last then
    local silent = redis.call('ZCOUNT', from, '-inf', '(' .. fresh_since)
    redis.call('HSET', agg, '@enrolled', redis.call('HGET', agg, 'n') or 0, '@silent', silent)
  end
  return last and 1 or 0
end
if #ids > 0 then
  local left = 0
  in_slices(ids, function(...) left = left + redis.call('ZREM', from, ...) end)
  -- A child that was deleted meanwhile, or is enrolled elsewhere, is no member of the location any more.
  if location ~= '' and left > #enrolled then redis.call('HINCRBY', sizes, 'n:' .. location, #enrolled - left) end
end
return redis.call('EXISTS', from) == 0 and 1 or 0
