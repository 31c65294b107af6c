--[[
Puts children of a partition in order within their locations. Which child belongs where was decided on what was read before;
a child that is gone or enrolled by now is left out.

KEYS  agg      {p}:r:<release>:agg      hash  @cursor: how far assigning has come; once it's complete @assigned, @silent
      sizes    {p}:r:<release>:sizes    hash  n:<location> members of a location here, f:<location> when the first of them
                                              joined (ms), @late arrivals that no location takes, @gone (see ARGV)
      arrived  {p}:r:<release>:arrived  list  ids of children that joined after the start
ARGV  what is asked for, short id of the release, what the keys of this partition's children begin with, what those of the sorted
      sets begin with (the location follows), 1 if members of locations are counted, then two that depend on what is asked for:
      'fleet'  the cursor that it goes on from ('' = the beginning), the new one: a second job over the same does nothing
      'late'  how many arrivals were read, and how many of them no location takes
      'done'  children that are Done with another release: '', ''
      then at the end of the fleet, or of those, the number of silent children, otherwise ''; at the end of those how many of the other
      release's are gone, otherwise ''; joined before (ms, '' = whenever); the arrivals that were read; and per child
      its id, location, place in the order
Reply how many were put in order now | -1 another job was faster, -2 the fleet is assigned: nothing was done
]]
local agg, sizes, arrived = KEYS[1], KEYS[2], KEYS[3]
local mode, short_id, prefix, base, counted = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local silent, gone, joined_before = ARGV[8], ARGV[9], tonumber(ARGV[10]) or math.huge

if mode == 'fleet' then
  local done = redis.call('HMGET', agg, '@cursor', '@assigned')
  -- A second job that comes late must not bring back children that have had their turn.
  if done[2] then return -2 end
  if (done[1] or '') ~= ARGV[6] then return -1 end
end

local at = 11
if mode == 'late' then
  -- Only what is still in front: another job may have been faster.
  for i = at, at + tonumber(ARGV[6]) - 1 do
    if redis.call('LINDEX', arrived, 0) ~= ARGV[i] then break end
    redis.call('LPOP', arrived)
  end
  at = at + tonumber(ARGV[6])
  if ARGV[7] ~= '0' then redis.call('HINCRBY', sizes, '@late', ARGV[7]) end
end

local added, members, firsts = 0, {}, {}
for i = at, #ARGV, 3 do
  local id, location = ARGV[i], ARGV[i + 1]
  local mine = redis.call('HMGET', prefix .. id, 'f', short_id)
  local first = tonumber(mine[1])
  if first and first <= joined_before and not mine[2] and redis.call('ZADD', base .. location, 'NX', ARGV[i + 2], id) == 1 then
    added = added + 1
    members[location] = (members[location] or 0) + 1
    firsts[location] = math.min(firsts[location] or math.huge, first)
  end
end
if counted then
  for location, n in pairs(members) do
    redis.call('HINCRBY', sizes, 'n:' .. location, n)
    local field, first = 'f:' .. location, firsts[location]
    local known = tonumber(redis.call('HGET', sizes, field))
    if not known or first < known then redis.call('HSET', sizes, field, string.format('%.0f', first)) end
  end
end
if mode == 'fleet' then redis.call('HSET', agg, '@cursor', ARGV[7]) end
if gone ~= '' then redis.call('HSET', sizes, '@gone', gone) end
if silent ~= '' then redis.call('HSET', agg, '@assigned', 1, '@silent', silent) end
return added
