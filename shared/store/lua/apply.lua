--[[
Joins downloads and stage results into children's records; keeps the aggregate and the index of the release in step. One
atomic call for any number of messages of one partition and one release: each message is applied whole or not at all.
Mirrors shared/domain/record.ts (a property test compares them).

KEYS  agg    {p}:r:<release>:agg  hash  counts
      index  {p}:r:<release>:idx  zset  how far -> id
      seen   {p}:seen             zset  last seen (ms) -> id
      then one per message: {p}:c:<id>  hash  the child, and in it its record: <tag> the head, <tag>.<attempt>.<stage> the
                                              kept report of a stage (both as shared/store/record-codec.ts reads them)
ARGV  release, its tag, left after (ms)
      then per message: id, at (ms, '' = now), attempt ('' = the current one), number of reports, and per report
      stage (-1 = unnamed), status, next (-1 = none, -2 = the following), digest (12 hex digits), summary (11 numbers)
Reply a text per message: 'ok <1 if anything counted changed> <release status>' | 'absent' not enrolled | 'gone' the child
      was deleted | 'stale' belongs to an earlier attempt | 'refused <why>' an error that it would always meet
]]
local agg, index, seen = KEYS[1], KEYS[2], KEYS[3]
local release, tag, left_after = ARGV[1], ARGV[2], tonumber(ARGV[3])
local COMPLETED = 4
-- The stage behind it in file order, counted from 1 as all stages here.
local FOLLOWING = -1
local LOG_GAMMA = math.log((1 + 0.02) / (1 - 0.02))
local KEPT = '>BBI6c6'
local SUMMARY = '<fffffffffff'

local now
local function clock()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end

local function bucket(value)
  if value <= 1e-6 then return 'z' end
  return string.format('%d', math.ceil(math.log(math.min(value, 1e9)) / LOG_GAMMA))
end

-- Adds what a kept report counts: see shared/domain/sketch.ts.
local function count_kept(into, stage, kept, sign)
  local _, _, _, f1, _, _, f2, _, _, e1, e2 = struct.unpack(SUMMARY, kept.summary)
  local function add(metric, value)
    local field = (stage - 1) .. '.' .. metric .. ':' .. bucket(value)
    into[field] = (into[field] or 0) + sign
  end
  if f1 >= 0 then
    add('f1', f1)
    add('e1', e1)
  end
  if f2 >= 0 then
    add('f2', f2)
    add('e2', e2)
  end
end

local function ended_at(record)
  for i = 1, record.count do
    if record.final[i] > 0 then return i end
  end
  return 0
end

local function current_stage(record)
  if ended_at(record) > 0 then return 0 end
  for i = record.count, 1, -1 do
    if record.status[i] > 0 and record.status[i] < COMPLETED then return i end
  end
  return 0
end

local function derived_status(record)
  local last = ended_at(record)
  if last > 0 then return record.final[last] == COMPLETED and 3 or 4 end
  return record.status[1] > 0 and 2 or 1
end

local function rank(record)
  if record.release_status == 1 then return 0 end
  if record.release_status >= 3 then return 1000000 + record.release_status - 3 end
  local last = current_stage(record)
  -- Between two stages (its next one had ended before) it's as far as the last that it reached.
  if last == 0 then
    for i = 1, record.count do
      if record.status[i] > 0 then last = i end
    end
  end
  return last * 8 + (record.status[last] or 0)
end

-- What its statuses count, of the stages up to the one with which its release ended.
local function count_statuses(into, record, sign)
  local function add(field) into[field] = (into[field] or 0) + sign end
  local last = ended_at(record)
  add('r' .. record.release_status)
  if record.release_status == 3 then add('d' .. (last - 1)) end
  for i = 1, (last > 0 and last or record.count) do
    if record.status[i] > 0 then add('s' .. (i - 1) .. '.' .. record.status[i]) end
  end
end

local function kept_field(record, stage) return tag .. '.' .. record.attempt .. '.' .. (stage - 1) end

-- The kept report of a stage as it was before this message; read only where it matters.
local function kept_before(record, stage)
  local known = record.kept[stage]
  if known == nil then
    local packed = redis.call('HGET', record.key, kept_field(record, stage))
    known = false
    if packed then
      local status, next, at, digest = struct.unpack(KEPT, packed)
      known = {status = status, next = next - 1, at = at, digest = digest, summary = string.sub(packed, 15)}
    end
    record.kept[stage] = known
  end
  return known
end

local function kept_now(record, stage)
  return record.changed[stage] or kept_before(record, stage)
end

local function bind_unnamed(record, reported, next, digest)
  -- A request that is tried again after its answer was lost says the same words: they are about the same stage.
  for i = record.count, 1, -1 do
    local old = kept_now(record, i)
    if old and old.status == reported and old.digest == digest then return i end
  end
  local current = current_stage(record)
  if current == 0 then return math.max(ended_at(record), 1) end
  if next ~= current then return current end
  for i = record.count, 1, -1 do
    local old = kept_now(record, i)
    if i ~= current and old and old.next + 1 == current and record.status[i] >= COMPLETED then return i end
  end
  return math.max(current - 1, 1)
end

local function join(record, at, stage, reported, next, digest, summary)
  if stage == 0 then stage = bind_unnamed(record, reported, next, digest) end
  if next == FOLLOWING then next = stage < record.count and stage + 1 or 0 end
  if stage > record.count or next > record.count then return end
  local old = kept_now(record, stage)
  if reported > record.status[stage] then record.status[stage] = reported end
  if reported >= COMPLETED then
    if next == 0 then
      if reported > record.final[stage] then record.final[stage] = reported end
    elseif record.status[next] < 1 then
      record.status[next] = 1
    end
  end
  local outranks = not old or reported > old.status
  if old and reported == old.status then
    outranks = at > old.at or (at == old.at and digest > old.digest)
  end
  if outranks then
    record.changed[stage] = {status = reported, next = next - 1, at = at, digest = digest, summary = summary}
  end
end

local function pack_summary(text)
  local n = {}
  for number in string.gmatch(text, '[^,]+') do n[#n + 1] = tonumber(number) end
  return struct.pack(SUMMARY, unpack(n, 1, 11))
end

local function from_hex(text)
  return (string.gsub(text, '..', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function digits(text)
  local list = {}
  for i = 1, #text do list[i] = string.byte(text, i) - 48 end
  return list
end

-- What its kept reports count: those that were replaced, and those that came to stand behind its end, or before it.
local function count_reports(into, record, last_before)
  local last = ended_at(record)
  for i = 1, record.count do
    local was, is = last_before == 0 or i <= last_before, last == 0 or i <= last
    if record.changed[i] or was ~= is then
      local old = kept_before(record, i)
      if was and old then count_kept(into, i, old, -1) end
      local new = record.changed[i] or old
      if is and new then count_kept(into, i, new, 1) end
    end
  end
end

local totals, ranks, stamps = {}, {}, {}

local function apply(key, id, given_at, given_attempt, reports, a)
  local mine = redis.call('HMGET', key, tag, 'f', 's', 'p', 'u', 'o')
  if not mine[1] then return 'absent' end
  if reports > 0 and not mine[2] then return 'gone' end
  local before, attempt, epoch, last_message, statuses, finals, location =
    string.match(mine[1], '^(%d) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
  if given_attempt ~= '' and given_attempt ~= attempt then return 'stale' end
  local at = given_at == '' and clock() or tonumber(given_at)
  local record = {
    key = key, attempt = attempt, count = #statuses, release_status = tonumber(before), status = digits(statuses),
    final = digits(finals), kept = {}, changed = {},
  }
  local deltas = {}
  count_statuses(deltas, record, -1)
  local rank_before, last_before = rank(record), ended_at(record)

  if record.status[1] < 1 then record.status[1] = 1 end
  for n = 0, reports - 1 do
    local r = a + n * 5
    join(record, at, tonumber(ARGV[r]) + 1, tonumber(ARGV[r + 1]), tonumber(ARGV[r + 2]) + 1, from_hex(ARGV[r + 3]),
      pack_summary(ARGV[r + 4]))
  end
  record.release_status = derived_status(record)
  local release_status = record.release_status
  count_statuses(deltas, record, 1)
  count_reports(deltas, record, last_before)

  local stamp = string.format('%.0f', at)
  -- When its last message came is asked only while it runs the release.
  if release_status > 2 then last_message = '0' elseif at > tonumber(last_message) then last_message = stamp end
  local set = {tag, table.concat({release_status, attempt, epoch, last_message, table.concat(record.status),
    table.concat(record.final), location}, ' ')}
  for stage, kept in pairs(record.changed) do
    set[#set + 1] = kept_field(record, stage)
    set[#set + 1] = struct.pack(KEPT, kept.status, kept.next + 1, kept.at, kept.digest) .. kept.summary
  end
  local clear = {}
  if mine[2] then
    if mine[4] and before == '1' then
      -- It has downloaded: never offered again.
      local left = {}
      for entry in string.gmatch(mine[4], '%S+') do
        if string.match(entry, '^[^:]+') ~= release then left[#left + 1] = entry end
      end
      if #left == 0 then
        clear[1] = 'p'
      else
        set[#set + 1] = 'p'
        set[#set + 1] = table.concat(left, ' ')
      end
    end
    if release_status == 2 and (before == '1' or not mine[5]) then
      set[#set + 1] = 'u'
      set[#set + 1] = release .. ' ' .. tag
    elseif release_status > 2 and mine[5] == release .. ' ' .. tag then
      clear[#clear + 1] = 'u'
      if mine[6] then clear[#clear + 1] = 'o' end
    end
    -- It had left only if it was quiet for so long before its poll, in whatever order the messages come.
    if mine[6] and tonumber(mine[6]) - at < left_after then clear[#clear + 1] = 'o' end
    if at > tonumber(mine[3] or '0') then
      set[#set + 1] = 's'
      set[#set + 1] = stamp
      stamps[#stamps + 1] = stamp
      stamps[#stamps + 1] = id
    end
  end
  redis.call('HSET', key, unpack(set))
  if #clear > 0 then redis.call('HDEL', key, unpack(clear)) end
  -- From here on nothing can fail any more: what the record says is counted.
  local changed = 0
  for field, delta in pairs(deltas) do
    if delta ~= 0 then
      changed = 1
      totals[field] = (totals[field] or 0) + delta
    end
  end
  local rank_now = rank(record)
  if rank_now ~= rank_before then
    ranks[#ranks + 1] = rank_now
    ranks[#ranks + 1] = id
  end
  return 'ok ' .. changed .. ' ' .. release_status
end

local replies = {}
local a = 4
for m = 1, #KEYS - 3 do
  local reports = tonumber(ARGV[a + 3])
  local fine, reply = pcall(apply, KEYS[m + 3], ARGV[a], ARGV[a + 1], ARGV[a + 2], reports, a + 4)
  replies[m] = fine and reply or ('refused ' .. (type(reply) == 'table' and reply.err or tostring(reply)))
  a = a + 4 + reports * 5
end
for field, delta in pairs(totals) do
  -- Counts at zero are removed, so that the aggregate stays as small as what it counts.
  if delta ~= 0 and redis.call('HINCRBY', agg, field, delta) == 0 then redis.call('HDEL', agg, field) end
end
if #ranks > 0 then redis.call('ZADD', index, unpack(ranks)) end
if #stamps > 0 then redis.call('ZADD', seen, unpack(stamps)) end
return replies
