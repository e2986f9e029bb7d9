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
--   o entry             append to the outbox
-- Answers an empty list when it is done; otherwise the number of the first check that does not hold, counted from 0,
-- and the value that was found instead, if there was one. The first write comes after the last check, so a refused
-- commit has changed nothing.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end

local check = 0
while at < #ARGV do
  local step = take()
  if step == 'o' then
    redis.call('XADD', KEYS[1], '*', 'e', take())
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
return {}
