--[[
Notes how far a command has come that changes the data while no manager runs, or that it has ended, if it's still this process'
work: one that was stopped for so long that another took over must not write after that one has finished.

KEYS  meta  meta  hash, see begin-repartition.lua and begin-migration.lua
ARGV  who works, what: 'step' <step> | 'leave' another run goes on later | 'withdraw' nothing was changed |
      'finish' <field> <value> the field of meta that is new
Reply 1 written | 0 another has taken over
]]
local me, what = 'mover:' .. ARGV[1], ARGV[2]
if redis.call('HEXISTS', KEYS[1], me) == 0 then return 0 end
if what == 'step' then
  redis.call('HSET', KEYS[1], 'step', ARGV[3])
  return 1
end
if what == 'finish' then redis.call('HSET', KEYS[1], ARGV[3], ARGV[4]) end
if what ~= 'leave' then redis.call('HDEL', KEYS[1], 'repartitioning', 'step') end
redis.call('HDEL', KEYS[1], me)
return 1
