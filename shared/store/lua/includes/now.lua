-- Milliseconds of this server's clock, read once in a call.
local time_now
local function now()
  if not time_now then
    local time = redis.call('TIME')
    time_now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return time_now
end
