-- The head of a child's record, as shared/store/children/record-codec.ts reads and writes it: status, attempt, epoch, last
-- message, a digit per stage for statuses and for finals, flags with promoted up to, and the membership (which may hold
-- spaces). All are texts.
local HEAD = '^(%d) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$'

local function parse_head(text) return string.match(text, HEAD) end

local function format_head(status, attempt, epoch, last_message, statuses, finals, packed, membership)
  return status .. ' ' .. attempt .. ' ' .. epoch .. ' ' .. last_message .. ' ' .. statuses .. ' ' .. finals .. ' ' .. packed
    .. ' ' .. membership
end
