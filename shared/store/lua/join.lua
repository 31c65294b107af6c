--[[
Takes a child in, or takes its new area and number of children over. Joins are idempotent and commute: the earliest
first-seen stays, area and count are the last writer's by the time they were accepted.

KEYS  child  {p}:c:<id>   hash  f first seen, s last seen, w area written (all ms), a area (JSON), d its digest, n children
      seen   {p}:seen     zset  last seen (ms) -> id
ARGV  id, at (ms), area (JSON coordinates), digest, number of children
Reply 1 if the child is new, else 0
]]
local child, seen = KEYS[1], KEYS[2]
local id, at = ARGV[1], tonumber(ARGV[2])
local old = redis.call('HMGET', child, 'f', 's', 'w', 'd', 'n')
local set = {}
local function put(field, value)
  set[#set + 1] = field
  set[#set + 1] = value
end
if not old[1] or at < tonumber(old[1]) then put('f', ARGV[2]) end
if not old[2] or at > tonumber(old[2]) then
  put('s', ARGV[2])
  redis.call('ZADD', seen, ARGV[2], id)
end
-- Accepted in the same millisecond: the greater digest wins, then the greater number, in whatever order they come.
local newer = not old[3] or at > tonumber(old[3])
if old[3] and at == tonumber(old[3]) then
  newer = ARGV[4] > old[4] or (ARGV[4] == old[4] and tonumber(ARGV[5]) > tonumber(old[5]))
end
if newer then
  put('w', ARGV[2])
  put('a', ARGV[3])
  put('d', ARGV[4])
  put('n', ARGV[5])
end
if #set > 0 then redis.call('HSET', child, unpack(set)) end
return old[1] and 0 or 1
