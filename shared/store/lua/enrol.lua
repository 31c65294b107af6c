--[[
Enrols some children of a partition in a release: each reads Todo, all its stages Pending, and is offered the release at
its next poll. Idempotent: whoever has a record already is left as it is, but for an offer made under an older epoch.

KEYS  agg    {p}:r:<release>:agg    hash  counts; @cursor and @mark of the walk over the partition
      index  {p}:r:<release>:idx    zset
      order  {p}:r:<release>:order  zset  children still to come, under a plan with a location per child
      then one per child: {p}:c:<id>
ARGV  release, its tag, epoch, attempt, location ('' = the child itself), stages, joined before (ms),
      cursor ('' = no walk), silent ('' = the walk goes on; else the number of silent children: the partition is done),
      where the walk was ('' = at its start), the unfinished releases between spaces, then the ids
Reply the ids that were enrolled now; a walk that another one has overtaken enrols nobody
]]
local agg, index, order = KEYS[1], KEYS[2], KEYS[3]
local release, tag, epoch, attempt, location = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local stages, joined_before, cursor, silent = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]
local FIRST_ID = 12
if cursor ~= '' then
  -- Two walks may overlap when a lock was lost. Whoever comes late must not add to a partition that is marked: gates
  -- open on the number that the mark holds.
  local walk = redis.call('HMGET', agg, '@mark', '@cursor')
  if walk[1] or (walk[2] or '') ~= ARGV[10] then return {} end
end
local zeros = string.rep('0', stages)
local head = table.concat({1, attempt, epoch, 0, zeros, zeros, location}, ' ')
local offer = release .. ':' .. epoch

local unfinished = {}
for other in string.gmatch(ARGV[11], '%S+') do unfinished[other] = true end

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

-- Children of one millisecond come together, and Lua can't unpack more than some thousands at a time.
local function in_slices(list, call)
  local SLICE = 2000
  for from = 1, #list, SLICE do call(unpack(list, from, math.min(from + SLICE - 1, #list))) end
end

local enrolled, ranks = {}, {}
for n = FIRST_ID, #ARGV do
  local id, child = ARGV[n], KEYS[4 + n - FIRST_ID]
  local mine = redis.call('HMGET', child, 'f', 'p', tag)
  if mine[3] then
    if mine[1] and string.sub(mine[3], 1, 1) == '1' then redis.call('HSET', child, 'p', with_offer(mine[2])) end
  elseif mine[1] and tonumber(mine[1]) <= joined_before then
    redis.call('HSET', child, tag, head, 'p', with_offer(mine[2]))
    enrolled[#enrolled + 1] = id
    ranks[#ranks + 1] = 0
    ranks[#ranks + 1] = id
  end
end
if #enrolled > 0 then
  in_slices(ranks, function(...) redis.call('ZADD', index, ...) end)
  redis.call('HINCRBY', agg, 'n', #enrolled)
  redis.call('HINCRBY', agg, 'r1', #enrolled)
end
if #ARGV >= FIRST_ID and redis.call('EXISTS', order) == 1 then
  local ids = {}
  for n = FIRST_ID, #ARGV do ids[#ids + 1] = ARGV[n] end
  in_slices(ids, function(...) redis.call('ZREM', order, ...) end)
end
if cursor ~= '' then redis.call('HSET', agg, '@cursor', cursor) end
if silent ~= '' then
  redis.call('HSET', agg, '@mark', redis.call('HGET', agg, 'n') or 0, '@silent', silent)
end
return enrolled
