--[[
Removes what children did in a release that ended long ago. Its counts stay.

KEYS  index  {p}:r:<release>:idx  zset
      due    {p}:r:<release>:due  zset
      then one per child: {p}:c:<id>
ARGV  tag of the release, number of its stages, then the ids
Reply how many records were removed
]]
local tag, stages = ARGV[1], tonumber(ARGV[2])
local removed = 0
for n = 3, #ARGV do
  local child = KEYS[n]
  local head = redis.call('HGET', child, tag)
  if head then
    local fields = {tag}
    for attempt = 1, tonumber(string.match(head, '^%d (%d+)')) do
      for stage = 0, stages - 1 do fields[#fields + 1] = tag .. '.' .. attempt .. '.' .. stage end
    end
    redis.call('HDEL', child, unpack(fields))
    removed = removed + 1
  end
end
for n = 3, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[n])
  redis.call('ZREM', KEYS[2], ARGV[n])
end
return removed
