-- Entries of a text with spaces between them, each beginning with a release: without those of one release.
local function entries_without(text, release)
  local entries = {}
  for entry in string.gmatch(text or '', '%S+') do
    if string.match(entry, '^[^:]+') ~= release then entries[#entries + 1] = entry end
  end
  return entries
end
