-- Applies messages one by one, each whole or not at all: what one of them breaks off is its own reply, and the others go on.
-- KEYS behind the first `fixed` are theirs, one each. ARGV from `at` on are theirs: `width(at)` of them for the one at `at`.
local function each_message(fixed, at, width, apply)
  local replies = {}
  for m = 1, #KEYS - fixed do
    local fine, reply = pcall(apply, KEYS[m + fixed], at)
    replies[m] = fine and reply or ('refused ' .. (type(reply) == 'table' and reply.err or tostring(reply)))
    at = at + width(at)
  end
  return replies
end
