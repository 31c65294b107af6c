-- Processes other than `me` that have said that they are at work, as `<who>=<until>` each. Drops what those left that are not.
local function at_work(meta, me)
  local all, busy = redis.call('HGETALL', meta), {}
  for i = 1, #all, 2 do
    local who, till = all[i], all[i + 1]
    if who ~= me and string.match(who, '^%l+:') then
      if tonumber(till) > now() then busy[#busy + 1] = who .. '=' .. till else redis.call('HDEL', meta, who) end
    end
  end
  return busy
end
