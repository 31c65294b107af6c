--[[
Removes what children did in a release that ended long ago, and every field of theirs that speaks of it. Its counts stay.

KEYS  index  {p}:r:<release>:idx  zset
      due    {p}:r:<release>:due  zset
      then one per child: {p}:c:<id>
ARGV  release, its short id, number of its stages, then the ids
Reply how many records were removed
]]
-- @include head
-- @include entries
local release, short_id, stages = ARGV[1], ARGV[2], tonumber(ARGV[3])
local removed = 0

local function forget_entries(key, field, text)
  if not text then return end
  local left = table.concat(entries_without(text, release), ' ')
  if left == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, left) end
end

for n = 4, #ARGV do
  local key = KEYS[n - 1]
  local mine = redis.call('HMGET', key, short_id, 'p', 'l', 'u')
  if mine[1] then
    local fields = {short_id}
    local _, attempts = parse_head(mine[1])
    for attempt = 1, tonumber(attempts) do
      for stage = 0, stages - 1 do fields[#fields + 1] = short_id .. '.' .. attempt .. '.' .. stage end
    end
    redis.call('HDEL', key, unpack(fields))
    removed = removed + 1
  end
  forget_entries(key, 'p', mine[2])
  forget_entries(key, 'l', mine[3])
  if mine[4] == release .. ' ' .. short_id then redis.call('HDEL', key, 'u', 'o') end
  redis.call('ZREM', KEYS[1], ARGV[n])
  redis.call('ZREM', KEYS[2], ARGV[n])
end
return removed
