-- Adds to a count. One that comes to zero is removed, so that a hash of counts stays as small as what it counts.
local function add_count(key, field, n)
  if n ~= 0 and redis.call('HINCRBY', key, field, n) == 0 then redis.call('HDEL', key, field) end
end
