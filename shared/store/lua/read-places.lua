--[[
What a tick reads of some locations in one partition: who is still to be enrolled and what the others have come to, all at
one time, as a child is either the one or the other. Reads only.

KEYS  agg  {p}:r:<release>:agg  hash; counts of a location under agg:<n>/<id>, of its late joiners under agg:+<n>/<id>
ARGV  where children wait who are still to be enrolled: 'place' their location's key follows the next one | 'all' it's the key
      for all of them | '' nowhere; that key; then per location its number and its id
Reply per location: children still to be enrolled, fields and values of its counts, and of its late joiners'
]]
local agg, kind, key = KEYS[1], ARGV[1], ARGV[2]
local reply = {}
for i = 3, #ARGV, 2 do
  local place = ARGV[i] .. '/' .. ARGV[i + 1]
  local left = 0
  if kind ~= '' then left = redis.call('ZCARD', kind == 'place' and key .. ARGV[i + 1] or key) end
  reply[#reply + 1] = {left, redis.call('HGETALL', agg .. ':' .. place), redis.call('HGETALL', agg .. ':+' .. place)}
end
return reply
