-- Ends a session that is as it was read: five writes and an event.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], 7776060000)
local record = '{"device_session_id":"' .. ARGV[4] .. '","user_id":"' .. ARGV[5] .. '","client_public_key":"'
  .. '11qYAYdk8v3K6Yw8QK6ZlQ2nP4Wm8Cq5g1H0K8vT9no=","status":"revoked","revoked_at_ms":1775121700000}'
redis.call('SET', KEYS[3], record, 'PX', 7776000000)
redis.call('HSET', KEYS[4], 'store:1', '1775121700000-0')
redis.call('XADD', KEYS[5], 'MAXLEN', '~', 100000, '*', 'device_session_id', ARGV[4], 'user_id', ARGV[5],
           'client_public_key', '11qYAYdk8v3K6Yw8QK6ZlQ2nP4Wm8Cq5g1H0K8vT9no=', 'status', 'revoked',
           'revoked_at_ms', '1775121700000')
return 1
