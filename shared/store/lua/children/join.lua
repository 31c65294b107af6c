--[[
Takes children in, or takes their new areas and numbers of children over. Joins are idempotent and commute: the earliest
first-seen stays, area and count are the last writer's by the time they were accepted.

KEYS  seen  {p}:seen  zset  last seen (ms) -> id
      late  {p}:late  zset  children are fresh since (ms) -> release; ids of those that are new, or come back after longer, go
                            to the list <releases><release>:arrived
      then one per message: {p}:c:<id>  hash  the child (fields: shared/store/children/child-fields.ts)
ARGV  releases: what the keys of this partition's releases begin with
      then per message: id, at (ms), area, digest, number of children
Reply a number per message, 1 if the child is new, else 0; or 'refused <why>' an error that it would always meet
]]
-- @include each-message
-- @include note-return
local seen, late, releases = KEYS[1], KEYS[2], ARGV[1]
local stamps = {}

local function join(key, a)
  local id, at_text, area, digest, count = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local at = tonumber(at_text)
  local old = redis.call('HMGET', key, 'f', 's', 'w', 'd', 'n')
  local set = {}
  local function put(field, value)
    set[#set + 1] = field
    set[#set + 1] = value
  end
  local first = old[1]
  if not first or at < tonumber(first) then
    put('f', at_text)
    first = at_text
  end
  local sighted = not old[2] or at > tonumber(old[2])
  if sighted then put('s', at_text) end
  local written = old[1] and (old[3] or old[1])
  local old_count = tonumber(old[5] or '0')
  local newer = not written or at > tonumber(written)
  -- Accepted in the same millisecond: the greater digest wins, then the greater number, in whatever order they come.
  if written and at == tonumber(written) then
    newer = digest > old[4] or (digest == old[4] and tonumber(count) > old_count)
  end
  if newer then
    written = at_text
    put('a', area)
    put('d', digest)
    if tonumber(count) ~= old_count then put('n', count) end
  end
  if written ~= first then
    if written ~= old[3] then put('w', written) end
  elseif old[3] then
    redis.call('HDEL', key, 'w')
  end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
  if newer and count == '0' and old_count > 0 then redis.call('HDEL', key, 'n') end
  if sighted then
    stamps[#stamps + 1] = at_text
    stamps[#stamps + 1] = id
    note_return(late, releases, id, tonumber(old[2] or '-1'), at)
  end
  return old[1] and 0 or 1
end

local replies = each_message(2, 2, function() return 5 end, join)
if #stamps > 0 then redis.call('ZADD', seen, unpack(stamps)) end
return replies
