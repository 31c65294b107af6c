--[[
Joins downloads and stage results into children's records; keeps the aggregates and the index of the release in step. One
atomic call for any number of messages of one partition and one release: each message is applied whole or not at all.
Mirrors shared/domain/record.ts (a property test compares them).

KEYS  agg    {p}:r:<release>:agg  hash  counts; @due: children are to be found by how long they have been in their stage.
                                        Those of one location are in <agg>:<membership> as well
      index  {p}:r:<release>:idx  zset  how far -> id
      seen   {p}:seen             zset  last seen (ms) -> id
      due    {p}:r:<release>:due  zset  InProgress in its stage since (ms) -> id
      late   {p}:late             zset  children are fresh since (ms) -> release; ids of those that come back after longer go
                                        to the list {p}:r:<release>:arrived
      then one per message: {p}:c:<id>  hash  the child, and in it its record: <tag> the head, <tag>.<attempt>.<stage> the
                                              kept report of a stage (both as shared/store/record-codec.ts reads them)
ARGV  release, its tag, left after (ms)
      then per message: id, at (ms, '' = now), attempt ('' = the current one), number of reports, and per report
      stage (-1 = unnamed), status, next (-1 = none, -2 = the following), digest (12 hex digits), summary (11 numbers)
Reply a text per message: 'ok <1 if anything counted changed> <release status>' | 'absent' not enrolled | 'gone' the child
      was deleted | 'stale' belongs to an earlier attempt | 'refused <why>' an error that it would always meet
]]
local agg, index, seen, due, late = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local release, tag, left_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local byte, sub, match, pack = string.byte, string.sub, string.match, struct.pack
local IN_PROGRESS, COMPLETED, ZERO, SEEN_STEP = 1, 4, 48, 1000
-- Marks, and behind them the stages that were ended by hand, in one number: see shared/domain/marks.ts.
local LOST, OVERDUE, EJECTED, ALL_MARKS = 1, 2, 4, 8
-- The stage behind it in file order, counted from 1 as all stages here.
local FOLLOWING = -1
local LOG_GAMMA = math.log((1 + 0.02) / (1 - 0.02))
local KEPT = '>BBI6c6'
local SUMMARY = '<fffffffffff'
local ELEVEN = '^([^,]+)' .. string.rep(',([^,]+)', 10) .. '$'

-- The record at hand, from its head: a digit per stage, as text.
local key, attempt, count, statuses, finals
local statuses_were
-- Kept reports by stage: as they were (false = none; read only where they matter), and those that replace them.
local before, replaced
-- Stages that reports of the message at hand are about.
local bound

-- What the whole call comes to: written once, at its end. `places`: the counts of locations, by membership.
local totals, places, ranks, stamps, since = {}, {}, {}, {}, {}
-- The counts of the location of the child at hand, or nil.
local place
local is_timed = redis.call('HGET', agg, '@due')

local now
local function clock()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end

-- Lua turns a number into a text by printf, which costs as much as a command: each is made once in a call.
local texts = {}
local function text_of(n)
  local known = texts[n]
  if not known then
    known = string.format('%d', n)
    texts[n] = known
  end
  return known
end
local status_fields = {}
local function status_field(stage, status)
  local at = stage * 8 + status
  local known = status_fields[at]
  if not known then
    known = 's' .. text_of(stage - 1) .. '.' .. text_of(status)
    status_fields[at] = known
  end
  return known
end

local function digit(text, i) return byte(text, i) - ZERO end
local function with_digit(text, i, value) return sub(text, 1, i - 1) .. text_of(value) .. sub(text, i + 1) end
local function add(field, n)
  totals[field] = (totals[field] or 0) + n
  if place then place[field] = (place[field] or 0) + n end
end

local function place_of(membership)
  if membership == '' or membership == 'all' then return nil end
  local known = places[membership]
  if not known then
    known = {}
    places[membership] = known
  end
  return known
end

local function has(marks, mark) return marks % (2 * mark) >= mark end

-- A child that was silent when a release started, which takes late joiners in, has come back.
local late_releases
local function note_return(id, was_seen, at)
  late_releases = late_releases or redis.call('ZRANGE', late, 0, -1, 'WITHSCORES')
  for i = 1, #late_releases, 2 do
    local fresh_since = tonumber(late_releases[i + 1])
    if was_seen < fresh_since and fresh_since <= at then
      redis.call('RPUSH', string.gsub(late, ':late$', ':r:') .. late_releases[i] .. ':arrived', id)
    end
  end
end

local buckets = {}
local function bucket(value)
  local known = buckets[value]
  if not known then
    known = value <= 1e-6 and 'z' or text_of(math.ceil(math.log(math.min(value, 1e9)) / LOG_GAMMA))
    buckets[value] = known
  end
  return known
end

-- Adds what a kept report counts: see shared/domain/sketch.ts.
local function count_report(stage, report, sign)
  local _, _, _, f1, _, _, f2, _, _, e1, e2 = struct.unpack(SUMMARY, report.summary)
  local prefix = text_of(stage - 1) .. '.'
  if f1 >= 0 then
    add(prefix .. 'f1:' .. bucket(f1), sign)
    add(prefix .. 'e1:' .. bucket(e1), sign)
  end
  if f2 >= 0 then
    add(prefix .. 'f2:' .. bucket(f2), sign)
    add(prefix .. 'e2:' .. bucket(e2), sign)
  end
end

local function ended_at()
  local at = string.find(finals, '[1-9]')
  return at or 0
end

local function current_stage()
  if ended_at() > 0 then return 0 end
  for i = count, 1, -1 do
    local status = digit(statuses, i)
    if status > 0 and status < COMPLETED then return i end
  end
  return 0
end

-- The stage that it's InProgress in, or 0.
local function in_progress()
  local current = current_stage()
  return current > 0 and digit(statuses, current) == IN_PROGRESS and current or 0
end

local function release_status()
  local last = ended_at()
  if last > 0 then return digit(finals, last) == COMPLETED and 3 or 4 end
  return digit(statuses, 1) > 0 and 2 or 1
end

local function rank(status)
  if status == 1 then return 0 end
  if status >= 3 then return 1000000 + status - 3 end
  local last = current_stage()
  -- Between two stages (its next one had ended before) it's as far as the last that it reached.
  if last == 0 then
    for i = 1, count do
      if digit(statuses, i) > 0 then last = i end
    end
  end
  return last * 8 + (last > 0 and digit(statuses, last) or 0)
end

local function kept_field(stage) return tag .. '.' .. attempt .. '.' .. text_of(stage - 1) end

local function kept_before(stage)
  local known = before[stage]
  if known == nil then
    known = false
    -- Only what was reported was kept.
    local packed = digit(statuses_were, stage) > 1 and redis.call('HGET', key, kept_field(stage))
    if packed then
      local status, next, at, digest = struct.unpack(KEPT, packed)
      known = {status = status, next = next - 1, at = at, digest = digest, summary = sub(packed, 15)}
    end
    before[stage] = known
  end
  return known
end

local function kept_now(stage) return replaced[stage] or kept_before(stage) end

local function bind_unnamed(reported, next, digest)
  -- A request that is tried again after its answer was lost says the same words: they are about the same stages.
  for i = count, 1, -1 do
    local old = not bound[i] and kept_before(i)
    if old and old.status == reported and old.digest == digest then return i end
  end
  local current = current_stage()
  if current == 0 then return math.max(ended_at(), 1) end
  if next ~= current then return current end
  for i = count, 1, -1 do
    local old = kept_now(i)
    if i ~= current and old and old.next + 1 == current and digit(statuses, i) >= COMPLETED then return i end
  end
  return math.max(current - 1, 1)
end

local function join(at, stage, reported, next, digest, summary)
  if stage == 0 then stage = bind_unnamed(reported, next, digest) end
  if next == FOLLOWING then next = stage < count and stage + 1 or 0 end
  if stage > count or next > count then return end
  bound[stage] = true
  local old = kept_now(stage)
  if reported > digit(statuses, stage) then statuses = with_digit(statuses, stage, reported) end
  if reported >= COMPLETED then
    if next == 0 then
      if reported > digit(finals, stage) then finals = with_digit(finals, stage, reported) end
    elseif digit(statuses, next) < 1 then
      statuses = with_digit(statuses, next, 1)
    end
  end
  local outranks = not old or reported > old.status
  if old and reported == old.status then
    outranks = at > old.at or (at == old.at and digest > old.digest)
  end
  if outranks then
    replaced[stage] = {status = reported, next = next - 1, at = at, digest = digest,
      summary = pack(SUMMARY, match(summary, ELEVEN))}
  end
end

local function from_hex(text) return pack('>I3I3', tonumber(sub(text, 1, 6), 16), tonumber(sub(text, 7, 12), 16)) end

-- Counts the difference that a message made: stages behind the one with which a release ended count nothing, nor does
-- anything of a child that was taken out.
local function count_difference(status_was, status_is, end_was, marks_was, marks_is)
  local end_is = ended_at()
  local ejected = marks_is >= EJECTED
  local mark_was, mark_is = (ejected or end_was == 0) and marks_was or 0, (ejected or end_is == 0) and marks_is or 0
  if mark_was ~= mark_is then
    if mark_was > 0 then add('m' .. text_of(mark_was), -1) end
    if mark_is > 0 then add('m' .. text_of(mark_is), 1) end
  end
  if ejected then return end
  if status_was ~= status_is then
    add('r' .. text_of(status_was), -1)
    add('r' .. text_of(status_is), 1)
  end
  local done_was, done_is = status_was == 3 and end_was or 0, status_is == 3 and end_is or 0
  if done_was ~= done_is then
    if done_was > 0 then add('d' .. text_of(done_was - 1), -1) end
    if done_is > 0 then add('d' .. text_of(done_is - 1), 1) end
  end
  for i = 1, count do
    local counted_before, counted_now = end_was == 0 or i <= end_was, end_is == 0 or i <= end_is
    local was, is = counted_before and digit(statuses_were, i) or 0, counted_now and digit(statuses, i) or 0
    if was ~= is then
      if was > 0 then add(status_field(i, was), -1) end
      if is > 0 then add(status_field(i, is), 1) end
    end
    if replaced[i] or counted_before ~= counted_now then
      local old = kept_before(i)
      if counted_before and old then count_report(i, old, -1) end
      local new = replaced[i] or old
      if counted_now and new then count_report(i, new, 1) end
    end
  end
end

-- Takes the release out of a field that lists some of a child.
local function drop_entry(field, entries, set, clear)
  local left = {}
  for entry in string.gmatch(entries, '%S+') do
    if match(entry, '^[^:]+') ~= release then left[#left + 1] = entry end
  end
  if #left == 0 then
    clear[#clear + 1] = field
  else
    set[#set + 1] = field
    set[#set + 1] = table.concat(left, ' ')
  end
end

local function apply(child, id, given_at, given_attempt, reports, a)
  local mine = redis.call('HMGET', child, tag, 'f', 's', 'p', 'u', 'o')
  if not mine[1] then return 'absent' end
  if reports > 0 and not mine[2] then return 'gone' end
  local was, epoch, last_message, flags, membership
  was, attempt, epoch, last_message, statuses, finals, flags, membership =
    match(mine[1], '^(%d) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  if given_attempt ~= '' and given_attempt ~= attempt then return 'stale' end
  local at = given_at == '' and clock() or tonumber(given_at)
  local stamp = given_at == '' and string.format('%.0f', at) or given_at
  key, count, before, replaced, bound, statuses_were = child, #statuses, {}, {}, {}, statuses
  local status_was, finals_were, end_was = tonumber(was), finals, ended_at()
  local rank_was, current_was = rank(status_was), is_timed and in_progress()

  if digit(statuses, 1) < 1 then statuses = with_digit(statuses, 1, 1) end
  for r = a, a + (reports - 1) * 5, 5 do
    join(at, tonumber(ARGV[r]) + 1, tonumber(ARGV[r + 1]), tonumber(ARGV[r + 2]) + 1, from_hex(ARGV[r + 3]), ARGV[r + 4])
  end
  local status_is = release_status()
  local rank_is = rank(status_is)
  local marks_was, marks_is = 0, 0
  if flags ~= '0' then
    marks_was = tonumber(flags) % ALL_MARKS
    marks_is = marks_was
    -- Whoever says something isn't lost, and whoever gets on is no longer overdue.
    if has(marks_is, LOST) then marks_is = marks_is - LOST end
    if rank_is > rank_was and has(marks_is, OVERDUE) then marks_is = marks_is - OVERDUE end
    flags = text_of(tonumber(flags) - marks_was + marks_is)
  end

  -- When its last message came is asked only while it runs the release.
  if status_is > 2 then last_message = '0' elseif at > tonumber(last_message) then last_message = stamp end
  local set = {tag, text_of(status_is) .. ' ' .. attempt .. ' ' .. epoch .. ' ' .. last_message .. ' ' .. statuses .. ' ' ..
    finals .. ' ' .. flags .. ' ' .. membership}
  for stage, kept in pairs(replaced) do
    set[#set + 1] = kept_field(stage)
    set[#set + 1] = pack(KEPT, kept.status, kept.next + 1, kept.at, kept.digest) .. kept.summary
  end
  local clear = {}
  if status_was == 1 and has(marks_was, LOST) then drop_entry('l', redis.call('HGET', child, 'l') or '', set, clear) end
  if mine[2] then
    local running = release .. ' ' .. tag
    -- It has downloaded: never offered again.
    if mine[4] and status_was == 1 then drop_entry('p', mine[4], set, clear) end
    if status_is == 2 and (status_was == 1 or not mine[5]) then
      set[#set + 1] = 'u'
      set[#set + 1] = running
    elseif status_is > 2 and mine[5] == running then
      clear[#clear + 1] = 'u'
      if mine[6] then clear[#clear + 1] = 'o' end
    end
    -- It had left only if it was quiet for so long before its poll, in whatever order the messages come.
    if mine[6] and tonumber(mine[6]) - at < left_after then clear[#clear + 1] = 'o' end
    -- To the second: the sorted set costs as much as all the rest of a write.
    local was_seen = tonumber(mine[3] or '0')
    if at >= was_seen + SEEN_STEP then
      note_return(id, was_seen, at)
      set[#set + 1] = 's'
      set[#set + 1] = stamp
      stamps[#stamps + 1] = stamp
      stamps[#stamps + 1] = id
    end
  end
  redis.call('HSET', child, unpack(set))
  if #clear > 0 then redis.call('HDEL', child, unpack(clear)) end
  -- From here on nothing can fail any more: what the record says is counted.
  local changed = next(replaced) or statuses ~= statuses_were or finals ~= finals_were or marks_was ~= marks_is
  if changed then
    place = place_of(membership)
    count_difference(status_was, status_is, end_was, marks_was, marks_is)
    if rank_is ~= rank_was then
      ranks[#ranks + 1] = text_of(rank_is)
      ranks[#ranks + 1] = id
    end
    if is_timed then
      local current_is = marks_is < EJECTED and in_progress() or 0
      if current_is ~= current_was then since[id] = current_is > 0 and stamp end
    end
  end
  return (changed and 'ok 1 ' or 'ok 0 ') .. text_of(status_is)
end

local replies = {}
local a = 4
for m = 1, #KEYS - 5 do
  local reports = tonumber(ARGV[a + 3])
  local fine, reply = pcall(apply, KEYS[m + 5], ARGV[a], ARGV[a + 1], ARGV[a + 2], reports, a + 4)
  replies[m] = fine and reply or ('refused ' .. (type(reply) == 'table' and reply.err or tostring(reply)))
  a = a + 4 + reports * 5
end
local function count(key, counts)
  for field, delta in pairs(counts) do
    -- Counts at zero are removed, so that the aggregate stays as small as what it counts.
    if delta ~= 0 and redis.call('HINCRBY', key, field, delta) == 0 then redis.call('HDEL', key, field) end
  end
end
count(agg, totals)
for membership, counts in pairs(places) do count(agg .. ':' .. membership, counts) end
if #ranks > 0 then redis.call('ZADD', index, unpack(ranks)) end
if #stamps > 0 then redis.call('ZADD', seen, unpack(stamps)) end
for id, at in pairs(since) do
  if at then redis.call('ZADD', due, at, id) else redis.call('ZREM', due, id) end
end
return replies
