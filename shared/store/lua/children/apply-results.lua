--[[
Joins downloads and stage results into children's records; keeps the aggregates and the index of the release in step. One
atomic call for any number of messages of one partition and one release: each message is applied whole or not at all.
Mirrors shared/domain/child/record.ts (a property test compares them).

KEYS  agg    {p}:r:<release>:agg  hash  counts; @watch_overdue: children are to be found by how long they have been in their
                                        stage
      index  {p}:r:<release>:idx  zset  how far -> id
      seen   {p}:seen             zset  last seen (ms) -> id
      due    {p}:r:<release>:due  zset  InProgress in its stage since (ms) -> id
      late   {p}:late             zset  children are fresh since (ms) -> release; ids of those that come back after longer go
                                        to the list <releases><release>:arrived
      then one per message: {p}:c:<id>  hash  the child, and in it its record: <short id> the head, <short id>.<attempt>.<stage>
                                              the kept report of a stage (both: shared/store/children/record-codec.ts)
ARGV  release, its short id, left after (ms), what the keys of its locations' counts begin with (a membership follows),
      releases: what the keys of this partition's releases begin with
      then per message: id, at (ms, '' = now), attempt ('' = the current one), number of reports, and per report
      stage (-1 = the current one), status, next (-1 = none, -2 = the following), digest (12 hex digits), summary (11 numbers)
Reply a text per message: 'ok <1 if anything counted changed> <release status>' | 'absent' not enrolled | 'gone' the child
      was deleted | 'stale' belongs to an earlier attempt | 'refused <why>' an error that it would always meet
]]
-- @include domain
-- @include head
-- @include add-count
-- @include own-counts
-- @include each-message
-- @include note-return
-- @include entries
-- @include now
local agg, index, seen, due, late = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local release, short_id, left_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local counts_of, releases = ARGV[4], ARGV[5]
local byte, sub, match, pack = string.byte, string.sub, string.match, struct.pack
local IN_PROGRESS, COMPLETED = STAGE.InProgress, STAGE.Completed
local TODO, DOING, DONE, FAILED = RELEASE.Todo, RELEASE.Doing, RELEASE.Done, RELEASE.Failed
local LOST, OVERDUE, EJECTED = FLAG.lost, FLAG.overdue, FLAG.ejected
local ZERO, SEEN_STEP = 48, 1000
-- The stage behind it in file order, counted from 1 as all stages here.
local FOLLOWING_STAGE = FOLLOWING + 1
local LOG_GAMMA = math.log((1 + ACCURACY) / (1 - ACCURACY))
-- A kept report: status, next stage + 1 (a byte holds no -1), accepted at, digest.
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

-- What the whole call comes to: written once, at its end. `locations`: the counts of locations, by membership.
local totals, locations, ranks, stamps, since = {}, {}, {}, {}, {}
-- The counts of the location of the child at hand, or nil.
local location
local is_timed = redis.call('HGET', agg, '@watch_overdue')

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
  if location then location[field] = (location[field] or 0) + n end
end

local function location_of(membership)
  if not has_own_counts(membership) then return nil end
  local known = locations[membership]
  if not known then
    known = {}
    locations[membership] = known
  end
  return known
end

local function has(flags, flag) return flags % (2 * flag) >= flag end

local buckets = {}
local function bucket(value)
  local known = buckets[value]
  if not known then
    known = value <= SMALLEST and 'z' or text_of(math.ceil(math.log(math.min(value, LARGEST)) / LOG_GAMMA))
    buckets[value] = known
  end
  return known
end

-- Adds what a kept report counts: see shared/domain/counts/sketch.ts.
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
  if last > 0 then return digit(finals, last) == COMPLETED and DONE or FAILED end
  return digit(statuses, 1) > 0 and DOING or TODO
end

local function rank(status)
  if status == TODO then return 0 end
  if status >= DONE then return DONE_RANK + status - DONE end
  local last = current_stage()
  -- Between two stages (its next one had ended before) it's as far as the last that it reached.
  if last == 0 then
    for i = 1, count do
      if digit(statuses, i) > 0 then last = i end
    end
  end
  return last * STAGE_RANK + (last > 0 and digit(statuses, last) or 0)
end

local function kept_field(stage) return short_id .. '.' .. attempt .. '.' .. text_of(stage - 1) end

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
  if next == FOLLOWING_STAGE then next = stage < count and stage + 1 or 0 end
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
-- anything of a child that was ejected.
local function count_difference(status_was, status_is, end_was, flags_was, flags_is)
  local end_is = ended_at()
  local ejected = flags_is >= EJECTED
  local flag_was, flag_is = (ejected or end_was == 0) and flags_was or 0, (ejected or end_is == 0) and flags_is or 0
  if flag_was ~= flag_is then
    if flag_was > 0 then add('m' .. text_of(flag_was), -1) end
    if flag_is > 0 then add('m' .. text_of(flag_is), 1) end
  end
  if ejected then return end
  if status_was ~= status_is then
    add('r' .. text_of(status_was), -1)
    add('r' .. text_of(status_is), 1)
  end
  local done_was, done_is = status_was == DONE and end_was or 0, status_is == DONE and end_is or 0
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
local function drop_entry(field, text, set, clear)
  local left = entries_without(text, release)
  if #left == 0 then
    clear[#clear + 1] = field
  else
    set[#set + 1] = field
    set[#set + 1] = table.concat(left, ' ')
  end
end

-- What the message says of the child itself, beside its record: which release it runs, and when it was seen.
local function note_child(mine, id, at, stamp, status_was, status_is, set, clear)
  local running = release .. ' ' .. short_id
  -- It has downloaded: never offered again.
  if mine[4] and status_was == TODO then drop_entry('p', mine[4], set, clear) end
  if status_is == DOING and (status_was == TODO or not mine[5]) then
    set[#set + 1] = 'u'
    set[#set + 1] = running
  elseif status_is > DOING and mine[5] == running then
    clear[#clear + 1] = 'u'
    if mine[6] then clear[#clear + 1] = 'o' end
  end
  -- It had left only if it was quiet for so long before its poll, in whatever order the messages come.
  if mine[6] and tonumber(mine[6]) - at < left_after then clear[#clear + 1] = 'o' end
  -- To the second: the sorted set costs as much as all the rest of a write.
  local was_seen = tonumber(mine[3] or '0')
  if at >= was_seen + SEEN_STEP then
    note_return(late, releases, id, was_seen, at)
    set[#set + 1] = 's'
    set[#set + 1] = stamp
    stamps[#stamps + 1] = stamp
    stamps[#stamps + 1] = id
  end
end

local function reports_at(a) return tonumber(ARGV[a + 3]) end

local function apply(child, a)
  local id, given_at, given_attempt, reports = ARGV[a], ARGV[a + 1], ARGV[a + 2], reports_at(a)
  local mine = redis.call('HMGET', child, short_id, 'f', 's', 'p', 'u', 'o')
  if not mine[1] then return 'absent' end
  if reports > 0 and not mine[2] then return 'gone' end
  local was, epoch, last_message, packed, membership
  was, attempt, epoch, last_message, statuses, finals, packed, membership = parse_head(mine[1])
  if given_attempt ~= '' and given_attempt ~= attempt then return 'stale' end
  local at = given_at == '' and now() or tonumber(given_at)
  local stamp = given_at == '' and string.format('%.0f', at) or given_at
  key, count, before, replaced, bound, statuses_were = child, #statuses, {}, {}, {}, statuses
  local status_was, finals_were, end_was = tonumber(was), finals, ended_at()
  local rank_was, current_was = rank(status_was), is_timed and in_progress()

  if digit(statuses, 1) < 1 then statuses = with_digit(statuses, 1, 1) end
  for r = a + 4, a + 4 + (reports - 1) * 5, 5 do
    join(at, tonumber(ARGV[r]) + 1, tonumber(ARGV[r + 1]), tonumber(ARGV[r + 2]) + 1, from_hex(ARGV[r + 3]), ARGV[r + 4])
  end
  local status_is = release_status()
  local rank_is = rank(status_is)
  local flags_was, flags_is = 0, 0
  if packed ~= '0' then
    flags_was = tonumber(packed) % FLAG_SUMS
    flags_is = flags_was
    -- A child that says something isn't lost, and one that gets on is no longer overdue.
    if has(flags_is, LOST) then flags_is = flags_is - LOST end
    if rank_is > rank_was and has(flags_is, OVERDUE) then flags_is = flags_is - OVERDUE end
    packed = text_of(tonumber(packed) - flags_was + flags_is)
  end

  -- When its last message came is asked only while it runs the release.
  if status_is > DOING then last_message = '0' elseif at > tonumber(last_message) then last_message = stamp end
  local set = {short_id, format_head(text_of(status_is), attempt, epoch, last_message, statuses, finals, packed, membership)}
  for stage, kept in pairs(replaced) do
    set[#set + 1] = kept_field(stage)
    set[#set + 1] = pack(KEPT, kept.status, kept.next + 1, kept.at, kept.digest) .. kept.summary
  end
  local clear = {}
  if status_was == TODO and has(flags_was, LOST) then drop_entry('l', redis.call('HGET', child, 'l'), set, clear) end
  if mine[2] then note_child(mine, id, at, stamp, status_was, status_is, set, clear) end
  redis.call('HSET', child, unpack(set))
  if #clear > 0 then redis.call('HDEL', child, unpack(clear)) end
  -- From here on nothing can fail any more: what the record says is counted.
  local changed = next(replaced) or statuses ~= statuses_were or finals ~= finals_were or flags_was ~= flags_is
  if changed then
    location = location_of(membership)
    count_difference(status_was, status_is, end_was, flags_was, flags_is)
    if rank_is ~= rank_was then
      ranks[#ranks + 1] = text_of(rank_is)
      ranks[#ranks + 1] = id
    end
    if is_timed then
      local current_is = flags_is < EJECTED and in_progress() or 0
      if current_is ~= current_was then since[id] = current_is > 0 and stamp end
    end
  end
  return (changed and 'ok 1 ' or 'ok 0 ') .. text_of(status_is)
end

local replies = each_message(5, 6, function(a) return 4 + reports_at(a) * 5 end, apply)
for field, n in pairs(totals) do add_count(agg, field, n) end
for membership, counts in pairs(locations) do
  for field, n in pairs(counts) do add_count(counts_of .. membership, field, n) end
end
if #ranks > 0 then redis.call('ZADD', index, unpack(ranks)) end
if #stamps > 0 then redis.call('ZADD', seen, unpack(stamps)) end
for id, at in pairs(since) do
  if at then redis.call('ZADD', due, at, id) else redis.call('ZREM', due, id) end
end
return replies
