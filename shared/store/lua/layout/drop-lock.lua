--[[
Gives a lock back, unless it ran out and is another holder's by now.

KEYS  lock  starts  text  the token of its holder
ARGV  the token
Reply 1 it was given back | 0 it's another's, or no holder's
]]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
