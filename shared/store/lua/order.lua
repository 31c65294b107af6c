--[[
Puts children of a partition in order of joining, for a plan in which each child is a location.

KEYS  agg    {p}:r:<release>:agg    hash
      order  {p}:r:<release>:order  zset  first seen (ms) -> id
      then one per child: {p}:c:<id>
ARGV  tag of the release, joined before (ms), cursor, silent ('' = the walk goes on; else the number of silent children),
      then the ids
Reply how many were put in order now
]]
local agg, order = KEYS[1], KEYS[2]
local tag, joined_before, cursor, silent = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
-- A second walk that comes late must not bring back those who have had their turn.
if redis.call('HEXISTS', agg, '@ordered') == 1 then return 0 end
local ordered = 0
for n = 5, #ARGV do
  local mine = redis.call('HMGET', KEYS[3 + n - 5], 'f', tag)
  if mine[1] and tonumber(mine[1]) <= joined_before and not mine[2] then
    ordered = ordered + redis.call('ZADD', order, mine[1], ARGV[n])
  end
end
redis.call('HSET', agg, '@cursor', cursor)
if silent ~= '' then redis.call('HSET', agg, '@ordered', redis.call('ZCARD', order), '@silent', silent) end
return ordered
