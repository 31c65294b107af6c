--[[
The guarded write: replaces a rollout's state only if it's still the version that the decision was made on. A stale
writer drops out before it has done anything.

KEYS  rollout  rollout:{<id>}  hash  v version, doc (JSON), plan (JSON): the whole of it, regions and all
ARGV  expected version, new version, new doc, channel, id, then more fields to write and their values
Reply 1 written | 0 stale
]]
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'doc', ARGV[3], unpack(ARGV, 6))
redis.call('PUBLISH', ARGV[4], ARGV[5] .. ' ' .. ARGV[3])
return 1
