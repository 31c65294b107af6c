--[[
Those whose turn comes first in a partition, for a job that enrols so many children of a location and no more. Two such jobs
may overlap, and what one has read is old when the other enrols. So each takes the location's fence, in every partition and
before it counts: from then on whoever had it before enrols nobody here (see enrol.lua), and what was counted stays true.

KEYS  agg   {p}:r:<release>:agg  hash; counts of the location under agg:<n>/<id>, of its late joiners under agg:+<n>/<id>
      from  zset  place in the order -> id, of those who are still to be enrolled
ARGV  the location: <n>/<id>, fence, how many at most
Reply children enrolled in the location here, late ones too, then ids and scores; nil: somebody has a later fence
]]
local agg, from = KEYS[1], KEYS[2]
local place, fence = ARGV[1], ARGV[2]
local own = agg .. ':' .. place
local known = redis.call('HMGET', own, '@fence', 'n')
if known[1] and tonumber(known[1]) > tonumber(fence) then return false end
redis.call('HSET', own, '@fence', fence)
local late = redis.call('HGET', agg .. ':+' .. place, 'n')
local reply = redis.call('ZRANGE', from, 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
table.insert(reply, 1, tonumber(known[2] or '0') + tonumber(late or '0'))
return reply
