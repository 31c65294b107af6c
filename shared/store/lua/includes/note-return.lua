-- Notes a child that is new, or was silent when a release started, for the running releases that take late joiners in.
-- `late`: the sorted set of those (children are fresh since -> release). `releases`: what the keys of a partition's releases
-- begin with.
local late_releases
local function note_return(late, releases, id, was_seen, at)
  late_releases = late_releases or redis.call('ZRANGE', late, 0, -1, 'WITHSCORES')
  for i = 1, #late_releases, 2 do
    local fresh_since = tonumber(late_releases[i + 1])
    if was_seen < fresh_since and fresh_since <= at then
      redis.call('RPUSH', releases .. late_releases[i] .. ':arrived', id)
    end
  end
end
