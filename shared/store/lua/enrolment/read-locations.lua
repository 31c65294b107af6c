--[[
What a tick reads of some locations in one partition: which children are still to be enrolled and what the others have come to,
all at one time, as a child is either the one or the other. Reads only.

KEYS  agg  {p}:r:<release>:agg  hash; it says which partition this is
ARGV  what the keys of the locations' counts begin with (a membership follows); where children wait that are still to be
      enrolled: 'own' their location's key follows the next one | 'all' it's the key for all of them | '' nowhere; that key;
      then per location its number and its id
Reply per location: children still to be enrolled, fields and values of its counts, and of its late joiners'
]]
local counts_of, kind, key = ARGV[1], ARGV[2], ARGV[3]
local reply = {}
for i = 4, #ARGV, 2 do
  local location = ARGV[i] .. '/' .. ARGV[i + 1]
  local left = 0
  if kind ~= '' then left = redis.call('ZCARD', kind == 'own' and key .. ARGV[i + 1] or key) end
  reply[#reply + 1] =
    {left, redis.call('HGETALL', counts_of .. location), redis.call('HGETALL', counts_of .. '+' .. location)}
end
return reply
