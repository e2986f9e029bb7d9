-- The code, used by this challenge and by no other of its mail.
if redis.call('HGET', KEYS[1], 'c') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[3], 'm') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'c', ARGV[2])
redis.call('PEXPIRE', KEYS[1], 960000)
redis.call('HSET', KEYS[2], 'l', ARGV[3])
redis.call('PEXPIRE', KEYS[2], 7776060000)
redis.call('HSET', KEYS[3], 'm', ARGV[3])
redis.call('PEXPIRE', KEYS[3], 960000)
return 1
