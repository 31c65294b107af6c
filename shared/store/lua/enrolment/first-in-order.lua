--[[
The children whose turn comes first in a partition, for a job that enrols so many children of a location and no more. Two such
jobs may overlap, and what one has read is old when the other enrols. So each takes the location's fence, in every partition and
before it counts: from then on the job that had it before enrols nobody here (see enrol.lua), and what was counted stays true.

KEYS  own   {p}:r:<release>:agg:<n>/<id>   hash  counts of the location's members; @fence
      late  {p}:r:<release>:agg:+<n>/<id>  hash  counts of its late joiners
      from  zset  place in the order -> id, of those that are still to be enrolled
ARGV  fence, how many at most
Reply children enrolled in the location here, late ones too, then ids and scores; nil: another job has a later fence
]]
local own, late, from = KEYS[1], KEYS[2], KEYS[3]
local fence = ARGV[1]
local known = redis.call('HMGET', own, '@fence', 'n')
if known[1] and tonumber(known[1]) > tonumber(fence) then return false end
redis.call('HSET', own, '@fence', fence)
local reply = redis.call('ZRANGE', from, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
table.insert(reply, 1, tonumber(known[2] or '0') + tonumber(redis.call('HGET', late, 'n') or '0'))
return reply
