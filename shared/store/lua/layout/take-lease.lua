--[[
Notes for a while that a process of a manager is at work on the data, unless the data is being moved to another number of
partitions or has been. Drops the notes of processes that ended without a word.

KEYS  meta  meta  hash  partitions; repartitioning: the number that is moved to; alive:<process>: until when (ms)
ARGV  process, for how long (ms), the number of partitions that it knows, the schema
Reply 'taken' | 'moving' | 'moved' there is another number of partitions now
]]
-- @include now
local mine = redis.call('HMGET', KEYS[1], 'repartitioning', 'partitions')
if mine[1] then return 'moving' end
-- A Redis that lost all it had: the fleet comes back by itself, and finds its partitions as they were.
if not mine[2] then
  redis.call('HSET', KEYS[1], 'partitions', ARGV[3], 'schema', ARGV[4])
elseif mine[2] ~= ARGV[3] then
  return 'moved'
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 6) == 'alive:' and tonumber(all[i + 1]) <= now() then redis.call('HDEL', KEYS[1], all[i]) end
end
redis.call('HSET', KEYS[1], 'alive:' .. ARGV[1], string.format('%.0f', now() + tonumber(ARGV[2])))
return 'taken'
