-- Appends events to the gateway's stream, in order, each at least once, no `active` after its session's `revoked`.
-- KEYS: the stream; the hash of positions relayed so far (in the stream's slot).
-- ARGV: outbox; about how many events to keep; then for each entry of that outbox, oldest first:
--       position ms, position sequence, session id, user id, key, time of revocation in ms or ''.
local relayed = redis.call('HGET', KEYS[2], ARGV[1]) or '0-0'
local ms, sequence = string.match(relayed, '(%d+)-(%d+)')
ms, sequence = tonumber(ms), tonumber(sequence)
for i = 3, #ARGV, 6 do
  local entry_ms, entry_sequence = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  local beyond = entry_ms > ms or (entry_ms == ms and entry_sequence > sequence)
  local event = {'XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'device_session_id', ARGV[i + 2],
                 'user_id', ARGV[i + 3], 'client_public_key', ARGV[i + 4]}
  local tail = ARGV[i + 5] == '' and {'status', 'active'} or {'status', 'revoked', 'revoked_at_ms', ARGV[i + 5]}
  for _, word in ipairs(tail) do event[#event + 1] = word end
  -- A repeated `revoked` does no harm. A repeated `active` could follow a `revoked`, so it is sent only the first time.
  if beyond or ARGV[i + 5] ~= '' then redis.call(unpack(event)) end
  if beyond then ms, sequence = entry_ms, entry_sequence end
end
-- Written though it may not have moved: whoever waits for replicas then waits for what others wrote before, too.
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f-%.0f', ms, sequence))
return 0
