--[[
Stores a release and its rollout, once. Its bundles are written and claimed before; a publisher that is told 'different' drops its claims.

KEYS  release  release:{<id>}  hash  digest, doc (JSON)
      rollout  rollout:{<id>}  hash  v version, doc (JSON), plan (JSON)
ARGV  digest of the published bytes, release doc, rollout doc, plan
Reply 'created' | 'same' these bytes were published before | 'different' other bytes have this id
]]
local digest = redis.call('HGET', KEYS[1], 'digest')
if digest then return digest == ARGV[1] and 'same' or 'different' end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'doc', ARGV[2])
redis.call('HSET', KEYS[2], 'v', 1, 'doc', ARGV[3], 'plan', ARGV[4])
return 'created'
