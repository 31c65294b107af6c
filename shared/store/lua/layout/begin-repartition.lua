--[[
Shuts managers out of the data, so that it can be moved to another number of partitions; or goes on with a move that was
begun. In one step with the check for processes at work: none can start in between.

KEYS  meta  meta  hash  partitions; repartitioning: the number that is moved to; step: how far the move has come, absent
                        while nothing has been changed; alive:<manager's process> and mover:<process that moves it>: until when (ms)
ARGV  the number to move to, who moves, how long that is to be believed (ms)
Reply 'empty' no manager has been here | 'same' | 'other <number>' a move to another one was begun |
      'busy <who>=<until> …' | 'begun <number it had> <step, or nothing>'
]]
-- @include now
-- @include at-work
local mine = redis.call('HMGET', KEYS[1], 'partitions', 'repartitioning', 'step')
if not mine[1] then return 'empty' end
if mine[3] and mine[2] ~= ARGV[1] then return 'other ' .. mine[2] end
local me = 'mover:' .. ARGV[2]
local busy = at_work(KEYS[1], me)
if not mine[3] and mine[1] == ARGV[1] then
  -- A run that ended before it had changed anything may have left it.
  if #busy == 0 then redis.call('HDEL', KEYS[1], 'repartitioning') end
  return 'same'
end
if #busy > 0 then return 'busy ' .. table.concat(busy, ' ') end
redis.call('HSET', KEYS[1], 'repartitioning', ARGV[1], me, string.format('%.0f', now() + tonumber(ARGV[3])))
return 'begun ' .. mine[1] .. ' ' .. (mine[3] or '')
