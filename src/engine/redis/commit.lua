-- One commit: checks, then writes, then announcements, all in one shard.
--
-- KEYS[1] is the shard's outbox, the others are collections: each a hash of its items.
-- ARGV is a list of steps, the checks first. Each is a letter and what it needs; `key` is an index into KEYS:
--   a key name          only if the item is absent
--   e key name value    only if the item equals the value
--   n key bound         only if the collection has fewer items than the bound
--   p key name value    put the item
--   d key name          delete the item
--   x key milliseconds  throw the collection away after this long
--   t count word…       a command of so many words that tells an announcement at once, see direct.rs
--   o entry             append to the outbox, unless it was empty and all was told at once
-- Answers, when it is done, an empty list where nothing is left to tell; else how many entries the outbox has now, and the
-- positions of its own. Otherwise the number of the first check that does not hold, counted from 0, and the value that was
-- found instead, if there was one. The first write comes after the last check, so a refused commit has changed nothing.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local check, told, appended = 0, false, {}
while at < #ARGV do
  local step = take()
  if step == 'o' then
    local entry = take()
    if not told then appended[#appended + 1] = redis.call('XADD', KEYS[1], '*', 'e', entry) end
  elseif step == 't' then
    local words = tonumber(take())
    if told == false then told = redis.call('XLEN', KEYS[1]) == 0 or nil end
    if told then
      local answer = redis.pcall(unpack(ARGV, at + 1, at + words))
      -- What was told before the failure will be told again, which does no harm.
      if type(answer) == 'table' and answer.err then told = nil end
    end
    at = at + words
  else
    local key = KEYS[tonumber(take())]
    if step == 'a' then
      local found = redis.call('HGET', key, take())
      if found then return { check, found } end
      check = check + 1
    elseif step == 'e' then
      local found = redis.call('HGET', key, take())
      if found ~= take() then return { check, found } end
      check = check + 1
    elseif step == 'n' then
      if redis.call('HLEN', key) >= tonumber(take()) then return { check, false } end
      check = check + 1
    elseif step == 'p' then
      local name = take()
      redis.call('HSET', key, name, take())
    elseif step == 'd' then
      redis.call('HDEL', key, take())
    elseif step == 'x' then
      redis.call('PEXPIRE', key, take())
    end
  end
end
if #appended == 0 then return {} end
return { tostring(redis.call('XLEN', KEYS[1])), unpack(appended) }
