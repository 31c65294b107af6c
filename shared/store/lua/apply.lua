--[[
Joins a download, or the stage results of one message, into a child's record; keeps the aggregate, the index and the
child's own hash in step. One atomic call per message. Mirrors shared/domain/record.ts (a property test compares them).

KEYS  record   {p}:r:<release>:c:<id>   hash  r release status, l location, t attempt, e epoch, s a digit per stage
                                              (status), f a digit per stage (status it ended the release with, or 0),
                                              x last message (ms), <attempt>:<stage> the kept report
      agg      {p}:r:<release>:agg      hash  counts
      index    {p}:r:<release>:idx      zset  how far -> id
      child    {p}:c:<id>               hash
      seen     {p}:seen                 zset  last seen (ms) -> id
ARGV  id, release, at (ms, '' = now), attempt ('' = the current one), left after (ms),
      then six per report: stage (-1 = unnamed), status, next (-1 = none, -2 = the following), digest, counters (a,b,c), summary
Reply {'ok', 1 if anything counted changed, release status} | {'absent'} not enrolled | {'gone'} the child was deleted |
      {'stale'} belongs to an earlier attempt
]]
local record, agg, index, child, seen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, release, at, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local COMPLETED = 4
-- The stage behind it in file order, counted from 1 as all stages here.
local FOLLOWING = -1
local left_after = tonumber(ARGV[5])
local reports = (#ARGV - 5) / 6

local head = redis.call('HMGET', record, 'r', 't', 's', 'f', 'x')
if not head[1] then return {'absent'} end
local known = redis.call('EXISTS', child) == 1
if reports > 0 and not known then return {'gone'} end
if attempt ~= '' and attempt ~= head[2] then return {'stale'} end
attempt = head[2]
if at == '' then
  local now = redis.call('TIME')
  at = now[1] * 1000 + math.floor(now[2] / 1000)
else
  at = tonumber(at)
end

-- The record, stages from 1; kept reports are read only where they matter.
local count = #head[3]
local status, final, kept = {}, {}, {}
local fields = {}
for i = 1, count do
  status[i] = tonumber(string.sub(head[3], i, i))
  final[i] = tonumber(string.sub(head[4], i, i))
  fields[i] = attempt .. ':' .. (i - 1)
end
local packed = redis.call('HMGET', record, unpack(fields))
for i = 1, count do
  if packed[i] then
    local s, t, d, n, c = string.match(packed[i], '^(%d+) (%d+) (%S+) (%S+) (%S*) ')
    kept[i] = {status = tonumber(s), at = tonumber(t), digest = d, next = tonumber(n), counters = c}
  end
end

local function ended_at()
  for i = 1, count do
    if final[i] > 0 then return i end
  end
  return 0
end

local function current_stage()
  if ended_at() > 0 then return 0 end
  for i = count, 1, -1 do
    if status[i] > 0 and status[i] < COMPLETED then return i end
  end
  return 0
end

local release_status = tonumber(head[1])
local function derived_status()
  local last = ended_at()
  if last > 0 then return final[last] == COMPLETED and 3 or 4 end
  return status[1] > 0 and 2 or 1
end

local function rank()
  if release_status == 1 then return 0 end
  if release_status >= 3 then return 1000000 + release_status - 3 end
  local last = current_stage()
  -- Between two stages (its next one had ended before) it's as far as the last that it reached.
  if last == 0 then
    for i = 1, count do
      if status[i] > 0 then last = i end
    end
  end
  return last * 8 + (status[last] or 0)
end

local function contribute(sign, into)
  local function add(field) into[field] = (into[field] or 0) + sign end
  local last = ended_at()
  add('r' .. release_status)
  if release_status == 3 then add('d' .. (last - 1)) end
  for i = 1, (last > 0 and last or count) do
    if status[i] > 0 then add('s' .. (i - 1) .. '.' .. status[i]) end
    if kept[i] then
      for counter in string.gmatch(kept[i].counters, '[^,]+') do add((i - 1) .. '.' .. counter) end
    end
  end
end

local deltas = {}
contribute(-1, deltas)
local rank_before = rank()

if status[1] < 1 then status[1] = 1 end

local function bind_unnamed(reported, next, digest)
  -- A request that is tried again after its answer was lost says the same words: they are about the same stage.
  for i = count, 1, -1 do
    local old = kept[i]
    if old and old.status == reported and old.digest == digest then return i end
  end
  local current = current_stage()
  if current == 0 then return math.max(ended_at(), 1) end
  if next ~= current then return current end
  for i = count, 1, -1 do
    if i ~= current and kept[i] and kept[i].next + 1 == current and status[i] >= COMPLETED then return i end
  end
  return math.max(current - 1, 1)
end

local written = {}
for n = 0, reports - 1 do
  local a = 6 + n * 6
  local stage, reported, next = tonumber(ARGV[a]) + 1, tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]) + 1
  local digest, counters, summary = ARGV[a + 3], ARGV[a + 4], ARGV[a + 5]
  if stage == 0 then stage = bind_unnamed(reported, next, digest) end
  if next == FOLLOWING then next = stage < count and stage + 1 or 0 end
  if stage <= count and next <= count then
  local old = kept[stage]
  if reported > status[stage] then status[stage] = reported end
  if reported >= COMPLETED then
    if next == 0 then
      if reported > final[stage] then final[stage] = reported end
    elseif status[next] < 1 then
      status[next] = 1
    end
  end
  local outranks = not old or reported > old.status
  if old and reported == old.status then
    outranks = at > old.at or (at == old.at and digest > old.digest)
  end
  if outranks then
    kept[stage] = {status = reported, at = at, digest = digest, next = next - 1, counters = counters}
    written[#written + 1] = attempt .. ':' .. (stage - 1)
    written[#written + 1] = table.concat({reported, string.format('%.0f', at), digest, next - 1, counters, summary}, ' ')
  end
  end
end

release_status = derived_status()
contribute(1, deltas)
local changed = 0
for field, delta in pairs(deltas) do
  if delta ~= 0 then
    changed = 1
    -- Counts at zero are removed, so that the aggregate stays as small as what it counts.
    if redis.call('HINCRBY', agg, field, delta) == 0 then redis.call('HDEL', agg, field) end
  end
end

local stamp = string.format('%.0f', at)
written[#written + 1] = 'x'
written[#written + 1] = at > tonumber(head[5] or '0') and stamp or head[5]
written[#written + 1] = 'r'
written[#written + 1] = release_status
written[#written + 1] = 's'
written[#written + 1] = table.concat(status)
written[#written + 1] = 'f'
written[#written + 1] = table.concat(final)
redis.call('HSET', record, unpack(written))
if rank() ~= rank_before then redis.call('ZADD', index, rank(), id) end

if known then
  local mine = redis.call('HMGET', child, 'p', 'u', 'o', 's')
  if mine[1] and tonumber(head[1]) == 1 then
    -- It has downloaded: never offered again.
    local left = {}
    for entry in string.gmatch(mine[1], '%S+') do
      if string.match(entry, '^[^:]+') ~= release then left[#left + 1] = entry end
    end
    if #left == 0 then redis.call('HDEL', child, 'p') else redis.call('HSET', child, 'p', table.concat(left, ' ')) end
  end
  if release_status == 2 and (tonumber(head[1]) == 1 or not mine[2]) then
    redis.call('HSET', child, 'u', release)
  elseif release_status > 2 and mine[2] == release then
    redis.call('HDEL', child, 'u', 'o')
  end
  -- It had left only if it was quiet for so long before its poll, in whatever order the messages come.
  if mine[3] and tonumber(mine[3]) - at < left_after then redis.call('HDEL', child, 'o') end
  if at > tonumber(mine[4] or '0') then
    redis.call('HSET', child, 's', stamp)
    redis.call('ZADD', seen, stamp, id)
  end
end
return {'ok', changed, release_status}
