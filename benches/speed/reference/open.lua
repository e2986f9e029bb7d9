-- A session, the gateway's record of it, and the event.
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
local record = '{"device_session_id":"' .. ARGV[3] .. '","user_id":"' .. ARGV[4] .. '","client_public_key":"' .. ARGV[5]
  .. '","status":"active"}'
redis.call('SET', KEYS[2], record, 'NX')
redis.call('HSET', KEYS[3], 'store:1', '1775121700000-0')
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 100000, '*', 'device_session_id', ARGV[3], 'user_id', ARGV[4],
           'client_public_key', ARGV[5], 'status', 'active')
return 1
