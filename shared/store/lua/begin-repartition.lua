--[[
Shuts managers out of the data, so that it can be moved to another number of partitions; or goes on with a move that was
begun. In one step with the look for whoever is at work: none can start in between.

KEYS  meta  meta  hash  partitions; repartitioning: the number that is moved to; step: how far the move has come, absent
                        while nothing has been changed; alive:<manager's process> and mover:<who moves>: until when (ms)
ARGV  the number to move to, who moves, how long that is to be believed (ms)
Reply 'empty' no manager has been here | 'same' | 'other <number>' a move to another one was begun |
      'busy <who>=<until> …' | 'begun <number it had> <step, or nothing>'
]]
local mine = redis.call('HMGET', KEYS[1], 'partitions', 'repartitioning', 'step')
if not mine[1] then return 'empty' end
if mine[3] and mine[2] ~= ARGV[1] then return 'other ' .. mine[2] end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me = 'mover:' .. ARGV[2]
local all, busy = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local who, till = all[i], all[i + 1]
  if who ~= me and string.match(who, '^%l+:') then
    if tonumber(till) > now then busy[#busy + 1] = who .. '=' .. till else redis.call('HDEL', KEYS[1], who) end
  end
end
if not mine[3] and mine[1] == ARGV[1] then
  -- A run that ended before it had changed anything may have left it.
  if #busy == 0 then redis.call('HDEL', KEYS[1], 'repartitioning') end
  return 'same'
end
if #busy > 0 then return 'busy ' .. table.concat(busy, ' ') end
redis.call('HSET', KEYS[1], 'repartitioning', ARGV[1], me, string.format('%.0f', now + tonumber(ARGV[3])))
return 'begun ' .. mine[1] .. ' ' .. (mine[3] or '')
