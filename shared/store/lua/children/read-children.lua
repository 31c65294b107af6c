--[[
Reads what polls, results and `/end_stage` need of some children: one command, and one text to parse, for all the requests
that came in one turn of the event loop. Reads only.

KEYS  one per read: {p}:c:<id>  hash
ARGV  one per read: '' for a poll, or the short id of a release
Reply a line per read, fields between tabs, an absent one empty:
      poll: f first seen, s last seen, d digest, p offers, u underway, o left at
      release: its head, f, s, o
]]
local lines = {}
for i = 1, #KEYS do
  local short_id = ARGV[i]
  local fields
  if short_id == '' then
    fields = redis.call('HMGET', KEYS[i], 'f', 's', 'd', 'p', 'u', 'o')
  else
    fields = redis.call('HMGET', KEYS[i], short_id, 'f', 's', 'o')
  end
  for n = 1, #fields do fields[n] = fields[n] or '' end
  lines[i] = table.concat(fields, '\t')
end
return table.concat(lines, '\n')
