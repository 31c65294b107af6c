--[[
Writes the order of a release's locations, once. It's never changed: where a rollout stands is a number in it.

KEYS  rollout    rollout:{<id>}    hash  order: what it holds (JSON)
      locations  locations:{<id>}  list  a location each
ARGV  the order, then its locations, first ones first, each <members> <id>
Reply 1 written | 0 it was there already
]]
if redis.call('HSETNX', KEYS[1], 'order', ARGV[1]) == 0 then return 0 end
redis.call('DEL', KEYS[2])
for i = 2, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
return 1
