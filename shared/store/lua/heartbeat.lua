--[[
Notes signs of life. Never creates a child: only joins do.

KEYS  seen  {p}:seen  zset
      then one per message: {p}:c:<id>  hash
ARGV  left after (ms), then per message: id, at (ms), release the sign is about ('' = none), its tag, kind: poll | ask
Reply a number per message, 1 noted | 0 no such child; or 'refused <why>' an error that it would always meet
]]
local left_after = tonumber(ARGV[1])
local stamps = {}

local function note(key, id, at_text, release, tag, kind)
  local at = tonumber(at_text)
  local mine = redis.call('HMGET', key, 'f', 's', 'u', 'o', tag ~= '' and tag or 'f')
  if not mine[1] then return 0 end
  if at > tonumber(mine[2] or '0') then
    redis.call('HSET', key, 's', at_text)
    stamps[#stamps + 1] = at_text
    stamps[#stamps + 1] = id
  end
  if release == '' or not mine[5] then return 1 end
  local head, last, tail = string.match(mine[5], '^(%d %d+ %d+ )(%d+)( .*)$')
  if kind == 'ask' then
    if at > tonumber(last) then redis.call('HSET', key, tag, head .. at_text .. tail) end
    if mine[4] and at > tonumber(mine[4]) then redis.call('HDEL', key, 'o') end
  elseif mine[3] == release .. ' ' .. tag and not mine[4] and at - tonumber(last) >= left_after then
    -- An agent that runs a release doesn't poll: it has dropped it.
    redis.call('HSET', key, 'o', at_text)
  end
  return 1
end

local replies = {}
for m = 1, #KEYS - 1 do
  local a = 1 + (m - 1) * 5
  local fine, reply = pcall(note, KEYS[m + 1], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
  replies[m] = fine and reply or ('refused ' .. (type(reply) == 'table' and reply.err or tostring(reply)))
end
if #stamps > 0 then redis.call('ZADD', KEYS[1], unpack(stamps)) end
return replies
