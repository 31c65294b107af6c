--[[
Shuts managers out of the data, so that it can be migrated to another schema; or goes on with a migration that was begun. In
one step with the check for processes at work: none can start in between. A manager of the version before is kept out by
`repartitioning`, which it knows.

KEYS  meta  meta  hash  schema; partitions; repartitioning: 'schema-<to>' while it is migrated; step; alive:<manager's process>
                        and mover:<process that migrates it>: until when (ms)
ARGV  the schema to migrate from, the one to migrate to, who migrates, how long that is to be believed (ms)
Reply 'empty' no manager has been here | 'same' | 'other <schema>' | 'moving <number>' it is being moved to another number of
      partitions | 'busy <who>=<until> …' | 'begun <number of partitions>'
]]
-- @include now
-- @include at-work
local from, to = ARGV[1], ARGV[2]
local mine = redis.call('HMGET', KEYS[1], 'schema', 'partitions', 'repartitioning', 'step')
if not mine[2] then return 'empty' end
if mine[1] == to then return 'same' end
if mine[1] ~= from then return 'other ' .. (mine[1] or '') end
local sign = 'schema-' .. to
if mine[3] and mine[4] and mine[3] ~= sign then return 'moving ' .. mine[3] end
local me = 'mover:' .. ARGV[3]
local busy = at_work(KEYS[1], me)
if #busy > 0 then return 'busy ' .. table.concat(busy, ' ') end
redis.call('HSET', KEYS[1], 'repartitioning', sign, 'step', 'migrate', me,
  string.format('%.0f', now() + tonumber(ARGV[4])))
return 'begun ' .. mine[2]
