--[[
Enrols some children of a partition in a release: each reads Todo, all its stages Pending, and is offered the release at
its next poll. Idempotent: whoever has a record already is left as it is, but for an offer made under an older epoch.

KEYS  agg    {p}:r:<release>:agg    hash  counts; @cursor and @mark of the walk over the partition
      index  {p}:r:<release>:idx    zset
      order  {p}:r:<release>:order  zset  children still to come, under a plan with a location per child
      then two per child: {p}:c:<id>, {p}:r:<release>:c:<id>
ARGV  release, epoch, attempt, location ('' = the child itself), stages, joined before (ms), cursor ('' = no walk),
      silent ('' = the walk goes on; else the number of silent children: the partition is done),
      where the walk was ('' = at its start), then the ids
Reply how many were enrolled now; a walk that another one has overtaken enrols nobody
]]
local agg, index, order = KEYS[1], KEYS[2], KEYS[3]
local release, epoch, attempt, location = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local stages, joined_before, cursor, silent = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8]
local zeros = string.rep('0', stages)
if cursor ~= '' then
  -- Two walks may overlap when a lock was lost. Whoever comes late must not add to a partition that is marked: gates
  -- open on the number that the mark holds.
  local walk = redis.call('HMGET', agg, '@mark', '@cursor')
  if walk[1] or (walk[2] or '') ~= ARGV[9] then return 0 end
end

local function offer(child, pending)
  local entries = {}
  for entry in string.gmatch(pending or '', '%S+') do
    if string.match(entry, '^[^:]+') ~= release then entries[#entries + 1] = entry end
  end
  entries[#entries + 1] = release .. ':' .. epoch
  redis.call('HSET', child, 'p', table.concat(entries, ' '))
end

local enrolled = 0
for n = 10, #ARGV do
  local id = ARGV[n]
  local child, record = KEYS[4 + (n - 10) * 2], KEYS[5 + (n - 10) * 2]
  local mine = redis.call('HMGET', child, 'f', 'p')
  local status = redis.call('HGET', record, 'r')
  if status == '1' and mine[1] then
    offer(child, mine[2])
  elseif not status and mine[1] and tonumber(mine[1]) <= joined_before then
    redis.call('HSET', record, 'r', 1, 'l', location == '' and id or location, 't', attempt, 'e', epoch, 's', zeros, 'f', zeros)
    redis.call('ZADD', index, 0, id)
    offer(child, mine[2])
    enrolled = enrolled + 1
  end
  redis.call('ZREM', order, id)
end
if enrolled > 0 then
  redis.call('HINCRBY', agg, 'n', enrolled)
  redis.call('HINCRBY', agg, 'r1', enrolled)
end
if cursor ~= '' then redis.call('HSET', agg, '@cursor', cursor) end
if silent ~= '' then
  redis.call('HSET', agg, '@mark', redis.call('HGET', agg, 'n') or 0, '@silent', silent)
end
return enrolled
