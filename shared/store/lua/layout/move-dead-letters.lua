--[[
Appends some dead letters of a partition that ceases to be to another one's. Once only, however often it's sent: the
list that they come from is in another slot and is deleted when all of it has been taken over.

KEYS  dead   {p}:dead        list
      taken  {p}:dead-taken  hash  partition they come from -> letters taken over so far
ARGV  partition they come from, letters that are thought to be taken over, then the letters
Reply how many are taken over now
]]
local taken = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
if taken ~= tonumber(ARGV[2]) then return taken end
for n = 3, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[n]) end
return redis.call('HINCRBY', KEYS[2], ARGV[1], #ARGV - 2)
