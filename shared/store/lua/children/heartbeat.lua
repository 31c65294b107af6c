--[[
Notes heartbeats. Never creates a child: only joins do. A heartbeat gives a child back that was lost. A poll of a child that
runs a release says that it has left it, which makes it lost at once where the plan counts lost children.

KEYS  seen  {p}:seen  zset  last seen (ms) -> id
      late  {p}:late  zset  children are fresh since (ms) -> release; ids of those that come back after longer go to the list
                            <releases><release>:arrived
      then one per message: {p}:c:<id>  hash  the child; l the releases in which it's lost and Todo, <release>:<short id> each,
                                              between spaces
ARGV  releases: what the keys of this partition's releases begin with. Counts of one: <releases><release>:agg (@watch_lost: lost
      children are counted), and behind it :<membership>
      left after (ms), then per message: id, at (ms), release the heartbeat is about ('' = none), its short id, by: poll |
      end_stage
Reply per message 1 noted | 0 no such child | 'changed <release> …' noted, and counts of these changed | 'refused <why>' an
      error that it would always meet
]]
-- @include domain
-- @include head
-- @include add-count
-- @include own-counts
-- @include each-message
-- @include note-return
local seen, late = KEYS[1], KEYS[2]
local releases, left_after = ARGV[1], tonumber(ARGV[2])
local TODO, DOING = tostring(RELEASE.Todo), tostring(RELEASE.Doing)
local LOST, EJECTED = FLAG.lost, FLAG.ejected
local stamps = {}

local function agg_of(release) return releases .. release .. ':agg' end

-- Counts a child underway under its flags as they are now, in all and in its location.
local function count_flags(release, membership, was, is)
  local agg = agg_of(release)
  for _, key in ipairs(has_own_counts(membership) and {agg, agg .. ':' .. membership} or {agg}) do
    if was > 0 then add_count(key, 'm' .. was, -1) end
    if is > 0 then add_count(key, 'm' .. is, 1) end
  end
end

local watched = {}
local function is_watched(release)
  if watched[release] == nil then watched[release] = redis.call('HEXISTS', agg_of(release), '@watch_lost') == 1 end
  return watched[release]
end

-- A child that is lost and was never reached: any heartbeat gives it back.
local function give_back(key, lost_in, news)
  for release, short_id in string.gmatch(lost_in, '([^%s:]+):(%d+)') do
    local status, attempt, epoch, last, statuses, finals, packed, membership =
      parse_head(redis.call('HGET', key, short_id) or '')
    local flags = tonumber(packed or '0') % FLAG_SUMS
    if status == TODO and flags % (2 * LOST) >= LOST then
      redis.call('HSET', key, short_id,
        format_head(status, attempt, epoch, last, statuses, finals, packed - LOST, membership))
      count_flags(release, membership, flags, flags - LOST)
      news[#news + 1] = release
    end
  end
  redis.call('HDEL', key, 'l')
end

-- What the heartbeat says of the release that it is about. `mine`: the child's fields; `text`: its record's head.
local function note_release(key, text, mine, at_text, release, short_id, by, news)
  local status, attempt, epoch, last, statuses, finals, packed, membership = parse_head(text)
  local at, left, delta = tonumber(at_text), tonumber(mine[4]), 0
  local flags = tonumber(packed) % FLAG_SUMS
  local is_lost, was_last = flags % (2 * LOST) >= LOST, last
  if by == 'end_stage' then
    if at > tonumber(last) then last = at_text end
    local is_back = not left or at > left
    if left and is_back then redis.call('HDEL', key, 'o') end
    if is_lost and is_back and status == DOING then delta = -LOST end
  elseif mine[3] == release .. ' ' .. short_id and at - tonumber(last) >= left_after then
    -- An agent that runs a release doesn't poll: it has dropped it.
    if not left then redis.call('HSET', key, 'o', at_text) end
    if status == DOING and flags < EJECTED and not is_lost and is_watched(release) then delta = LOST end
  end
  if last ~= was_last or delta ~= 0 then
    redis.call('HSET', key, short_id,
      format_head(status, attempt, epoch, last, statuses, finals, packed + delta, membership))
  end
  if delta ~= 0 then
    count_flags(release, membership, flags, flags + delta)
    news[#news + 1] = release
  end
end

local function note(key, a)
  local id, at_text, release, short_id, by = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local at = tonumber(at_text)
  local mine = redis.call('HMGET', key, 'f', 's', 'u', 'o', 'l', short_id ~= '' and short_id or 'f')
  if not mine[1] then return 0 end
  local was_seen, news = tonumber(mine[2] or '0'), {}
  if at > was_seen then
    redis.call('HSET', key, 's', at_text)
    stamps[#stamps + 1] = at_text
    stamps[#stamps + 1] = id
    note_return(late, releases, id, was_seen, at)
  end
  local text = short_id ~= '' and mine[6]
  if mine[5] and at >= was_seen then
    give_back(key, mine[5], news)
    text = text and redis.call('HGET', key, short_id)
  end
  if text then note_release(key, text, mine, at_text, release, short_id, by, news) end
  return #news > 0 and 'changed ' .. table.concat(news, ' ') or 1
end

local replies = each_message(2, 3, function() return 5 end, note)
if #stamps > 0 then redis.call('ZADD', seen, unpack(stamps)) end
return replies
