--[[
Notes a sign of life. Never creates a child: only joins do.

KEYS  child   {p}:c:<id>              hash
      seen    {p}:seen                zset
      record  {p}:r:<release>:c:<id>  hash  the release the sign is about; with release '' any key of the partition
ARGV  id, at (ms), release ('' = none), kind: poll | ask, left after (ms)
Reply 1 noted | 0 no such child
]]
local child, seen, record = KEYS[1], KEYS[2], KEYS[3]
local id, at, release, kind = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local mine = redis.call('HMGET', child, 'f', 's', 'u', 'o')
if not mine[1] then return 0 end
if at > tonumber(mine[2] or '0') then
  redis.call('HSET', child, 's', ARGV[2])
  redis.call('ZADD', seen, ARGV[2], id)
end
if release == '' then return 1 end
local last = tonumber(redis.call('HGET', record, 'x') or '0')
if kind == 'ask' then
  if at > last and redis.call('EXISTS', record) == 1 then redis.call('HSET', record, 'x', ARGV[2]) end
  if mine[4] and at > tonumber(mine[4]) then redis.call('HDEL', child, 'o') end
elseif mine[3] == release and not mine[4] and at - last >= tonumber(ARGV[5]) then
  -- An agent that runs a release doesn't poll: it has dropped it.
  redis.call('HSET', child, 'o', ARGV[2])
end
return 1
