--[[
The manager's own changes to children's records in a release. Each is of what was read before: where a message came in
between, nothing happens to that child.

KEYS  agg    {p}:r:<release>:agg    hash  counts
      index  {p}:r:<release>:idx    zset  how far -> id
      due    {p}:r:<release>:due    zset  InProgress in its stage since (ms) -> id
      order  {p}:r:<release>:order  zset  children whose turn is still to come, where each is a location
      then one per change: {p}:c:<id>  hash  the child
ARGV  release, its short id, what the keys of its locations' counts begin with (a membership follows), then per change a JSON
      object:
      id; was: the record's head, absent = it has none; is: its head from now on
      kept, digest: fields of kept reports, and SHA-1 over what they hold, with / between them
      Only where they are given: seenBefore: it wasn't seen after that (ms); dueBefore: it's in `due` since then or longer;
      whileEnrolling: the enrolment of the partition isn't complete
      drop: fields to remove; rank: how far it is from now on; offer: the entry to offer it, '' = none any more;
      lost: true = it's Todo and lost from now on, false = no longer; stopped, untimed: it doesn't run the release, it
      isn't in `due` any more; counts: what this adds to the counts, and membership: to those of this one, too
Reply a number per change: 1 it was made | 0 nothing has happened
]]
-- @include add-count
-- @include entries
local agg, index, due, order = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local release, short_id, counts_of = ARGV[1], ARGV[2], ARGV[3]

-- Entries between spaces, without those of the release, and with another one if there is one.
local function with_entry(text, entry)
  local entries = entries_without(text, release)
  if entry ~= '' then entries[#entries + 1] = entry end
  return table.concat(entries, ' ')
end

local function is_unchanged(key, change, mine)
  if (mine[1] or nil) ~= change.was then return false end
  -- A child that isn't known any more can't be offered anything, nor be taken in.
  if not mine[2] and (not change.was or (change.offer or '') ~= '') then return false end
  if change.seenBefore and tonumber(mine[3] or '0') > change.seenBefore then return false end
  if change.dueBefore then
    local since = redis.call('ZSCORE', due, change.id)
    if not since or tonumber(since) > change.dueBefore then return false end
  end
  if change.whileEnrolling and redis.call('HEXISTS', agg, '@enrolled') == 1 then return false end
  if not change.kept then return true end
  local kept = redis.call('HMGET', key, unpack(change.kept))
  for i = 1, #change.kept do kept[i] = kept[i] or '' end
  return redis.sha1hex(table.concat(kept, '/')) == change.digest
end

local function put(key, field, text)
  if text == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, text) end
end

local function compare_and_set(key, change)
  local mine = redis.call('HMGET', key, short_id, 'f', 's', 'p', 'u', 'l')
  if not is_unchanged(key, change, mine) then return 0 end
  redis.call('HSET', key, short_id, change.is)
  if change.drop then redis.call('HDEL', key, unpack(change.drop)) end
  if change.offer then put(key, 'p', with_entry(mine[4], change.offer)) end
  if change.lost ~= nil then put(key, 'l', with_entry(mine[6], change.lost and release .. ':' .. short_id or '')) end
  if change.stopped and mine[5] == release .. ' ' .. short_id then redis.call('HDEL', key, 'u', 'o') end
  if change.rank then redis.call('ZADD', index, change.rank, change.id) end
  if change.untimed then redis.call('ZREM', due, change.id) end
  if not change.was then redis.call('ZREM', order, change.id) end
  for field, n in pairs(change.counts) do
    add_count(agg, field, n)
    if change.membership then add_count(counts_of .. change.membership, field, n) end
  end
  return 1
end

local replies = {}
for i = 1, #KEYS - 4 do replies[i] = compare_and_set(KEYS[i + 4], cjson.decode(ARGV[i + 3])) end
return replies
