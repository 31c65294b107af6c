--[[
Takes a child out of the fleet; its records in releases stay.

KEYS  child  {p}:c:<id>  hash
      seen   {p}:seen    zset
ARGV  id, quiet since (ms): only a child that wasn't seen after it, then the releases that don't keep it: their rollout is finished
Reply 'deleted' | 'unknown' | 'underway' it runs or is offered another one | 'recent' it was seen lately
]]
-- @include child-fields
local mine = redis.call('HMGET', KEYS[1], 'f', 's', 'u', 'p')
if not mine[1] then return 'unknown' end
local finished = {}
for i = 3, #ARGV do finished[ARGV[i]] = true end
if mine[3] and not finished[string.match(mine[3], '^%S+')] then return 'underway' end
for release in string.gmatch(mine[4] or '', '([^%s:]+):%S+') do
  if not finished[release] then return 'underway' end
end
if tonumber(mine[2]) > tonumber(ARGV[2]) then return 'recent' end
redis.call('HDEL', KEYS[1], unpack(CHILD_FIELDS))
redis.call('ZREM', KEYS[2], ARGV[1])
return 'deleted'
