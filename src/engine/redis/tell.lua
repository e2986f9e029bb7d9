-- Tells entries of an outbox, and takes them out of it: each of them once, in order, whoever else tells them.
-- KEYS: the outbox.
-- ARGV: for each entry, oldest first: its position, how many commands tell it, and of each how many words, and the words.
-- A command that fails ends it: its entry, and those behind it, stay.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

while at < #ARGV do
  local position, commands = take(), tonumber(take())
  local waits = #redis.call('XRANGE', KEYS[1], position, position) == 1
  for _ = 1, commands do
    local words = tonumber(take())
    if waits then redis.call(unpack(ARGV, at + 1, at + words)) end
    at = at + words
  end
  if waits then redis.call('XDEL', KEYS[1], position) end
end
return 0
