--[[
Notes signs of life. Never creates a child: only joins do. A sign gives a child back that was lost, and a poll of one that
runs a release says that it has left it, which makes it lost at once where the plan counts lost children.

KEYS  seen  {p}:seen  zset  last seen (ms) -> id
      late  {p}:late  zset  children are fresh since (ms) -> release; ids of those that come back after longer go to the list
                            {p}:r:<release>:arrived
      then one per message: {p}:c:<id>  hash  the child; l the releases in which it's lost and Todo, <release>:<tag> each,
                                              between spaces
      The counts of releases, {p}:r:<release>:agg and behind it :<membership>, are known only here. @lost: lost children are
      counted.
ARGV  left after (ms), then per message: id, at (ms), release the sign is about ('' = none), its tag, kind: poll | ask
Reply per message 1 noted | 0 no such child | 'moved <release> …' noted, and counts of these changed | 'refused <why>' an error
      that it would always meet
]]
local seen, late, left_after = KEYS[1], KEYS[2], tonumber(ARGV[1])
local releases = string.gsub(seen, 'seen$', 'r:')
local TODO, DOING, LOST, EJECTED, ALL_MARKS = '1', '2', 1, 4, 8
local HEAD = '^(%d)( %d+ %d+ )(%d+)( %d+ %d+ )(%d+) (.*)$'
local late_releases = redis.call('ZRANGE', late, 0, -1, 'WITHSCORES')
local stamps = {}

local function count(key, field, n)
  -- Counts at zero are removed, so that the aggregate stays as small as what it counts.
  if redis.call('HINCRBY', key, field, n) == 0 then redis.call('HDEL', key, field) end
end

local function agg_of(release) return releases .. release .. ':agg' end

-- Counts a child underway under its marks as they are now, in all and in its location.
local function count_marks(release, membership, was, is)
  local agg = agg_of(release)
  for _, key in ipairs(membership ~= '' and membership ~= 'all' and {agg, agg .. ':' .. membership} or {agg}) do
    if was > 0 then count(key, 'm' .. was, -1) end
    if is > 0 then count(key, 'm' .. is, 1) end
  end
end

local counts_lost = {}
local function is_counted(release)
  if counts_lost[release] == nil then counts_lost[release] = redis.call('HEXISTS', agg_of(release), '@lost') == 1 end
  return counts_lost[release]
end

local function note_return(id, was_seen, at)
  for i = 1, #late_releases, 2 do
    local fresh_since = tonumber(late_releases[i + 1])
    if was_seen < fresh_since and fresh_since <= at then
      redis.call('RPUSH', releases .. late_releases[i] .. ':arrived', id)
    end
  end
end

-- A child that is lost and was never reached: any sign gives it back.
local function give_back(key, lost_in, news)
  for release, tag in string.gmatch(lost_in, '([^%s:]+):(%d+)') do
    local status, mid, last, tail, flags, membership = string.match(redis.call('HGET', key, tag) or '', HEAD)
    local marks = tonumber(flags or '0') % ALL_MARKS
    if status == TODO and marks % 2 == LOST then
      redis.call('HSET', key, tag, status .. mid .. last .. tail .. flags - LOST .. ' ' .. membership)
      count_marks(release, membership, marks, marks - LOST)
      news[#news + 1] = release
    end
  end
  redis.call('HDEL', key, 'l')
end

local function note(key, id, at_text, release, tag, kind)
  local at = tonumber(at_text)
  local mine = redis.call('HMGET', key, 'f', 's', 'u', 'o', 'l', tag ~= '' and tag or 'f')
  if not mine[1] then return 0 end
  local was_seen, news = tonumber(mine[2] or '0'), {}
  if at > was_seen then
    redis.call('HSET', key, 's', at_text)
    stamps[#stamps + 1] = at_text
    stamps[#stamps + 1] = id
    note_return(id, was_seen, at)
  end
  local text = tag ~= '' and mine[6]
  if mine[5] and at >= was_seen then
    give_back(key, mine[5], news)
    text = text and redis.call('HGET', key, tag)
  end
  if text then
    local status, mid, last, tail, flags, membership = string.match(text, HEAD)
    local marks, left, delta = tonumber(flags) % ALL_MARKS, tonumber(mine[4]), 0
    local is_lost, was_last = marks % 2 == LOST, last
    if kind == 'ask' then
      if at > tonumber(last) then last = at_text end
      local is_back = not left or at > left
      if left and is_back then redis.call('HDEL', key, 'o') end
      if is_lost and is_back and status == DOING then delta = -LOST end
    elseif mine[3] == release .. ' ' .. tag and at - tonumber(last) >= left_after then
      -- An agent that runs a release doesn't poll: it has dropped it.
      if not left then redis.call('HSET', key, 'o', at_text) end
      if status == DOING and marks < EJECTED and not is_lost and is_counted(release) then delta = LOST end
    end
    if last ~= was_last or delta ~= 0 then
      redis.call('HSET', key, tag, status .. mid .. last .. tail .. flags + delta .. ' ' .. membership)
    end
    if delta ~= 0 then
      count_marks(release, membership, marks, marks + delta)
      news[#news + 1] = release
    end
  end
  return #news > 0 and 'moved ' .. table.concat(news, ' ') or 1
end

local replies = {}
for m = 1, #KEYS - 2 do
  local a = 1 + (m - 1) * 5
  local fine, reply = pcall(note, KEYS[m + 2], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
  replies[m] = fine and reply or ('refused ' .. (type(reply) == 'table' and reply.err or tostring(reply)))
end
if #stamps > 0 then redis.call('ZADD', seen, unpack(stamps)) end
return replies
