--[[
Puts children of a partition in order of joining, for a plan in which each child is a location.

KEYS  agg    {p}:r:<release>:agg    hash
      order  {p}:r:<release>:order  zset  first seen (ms) -> id
      then two per child: {p}:c:<id>, {p}:r:<release>:c:<id>
ARGV  joined before (ms), cursor, silent ('' = the walk goes on; else the number of silent children), then the ids
Reply how many were put in order now
]]
local agg, order = KEYS[1], KEYS[2]
local joined_before, cursor, silent = tonumber(ARGV[1]), ARGV[2], ARGV[3]
-- A second walk that comes late must not bring back those who have had their turn.
if redis.call('HEXISTS', agg, '@ordered') == 1 then return 0 end
local ordered = 0
for n = 4, #ARGV do
  local first_seen = redis.call('HGET', KEYS[3 + (n - 4) * 2], 'f')
  if first_seen and tonumber(first_seen) <= joined_before and redis.call('EXISTS', KEYS[4 + (n - 4) * 2]) == 0 then
    ordered = ordered + redis.call('ZADD', order, first_seen, ARGV[n])
  end
end
redis.call('HSET', agg, '@cursor', cursor)
if silent ~= '' then redis.call('HSET', agg, '@ordered', redis.call('ZCARD', order), '@silent', silent) end
return ordered
