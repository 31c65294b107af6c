--[[
Takes a publish's claim off a bundle, and deletes the bundle when no other publish claims it.

KEYS  bundle  bundle:<sha256>  hash  file (bytes), @<publish> one per publish that wants it
ARGV  the claim's field
Reply 1 the bundle was deleted | 0 another publish claims it
]]
redis.call('HDEL', KEYS[1], ARGV[1])
if redis.call('HLEN', KEYS[1]) > 1 then return 0 end
return redis.call('DEL', KEYS[1])
