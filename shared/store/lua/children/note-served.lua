--[[
Notes that an API process serves, and when none did: silence in such a time says nothing of a child.

KEYS  served  hash  at: when one last served (ms); gaps: `<from>-<to>` (ms) between spaces, the newest last
ARGV  how long (ms) after the last note it still counts as serving, gaps kept at most
Reply nothing
]]
-- @include now
local grace, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or now())
if now() - at > grace then
  local gaps = {}
  for gap in string.gmatch(redis.call('HGET', KEYS[1], 'gaps') or '', '%S+') do gaps[#gaps + 1] = gap end
  gaps[#gaps + 1] = string.format('%.0f-%.0f', at, now())
  redis.call('HSET', KEYS[1], 'gaps', table.concat(gaps, ' ', math.max(#gaps - most + 1, 1)))
end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', math.max(at, now())))
