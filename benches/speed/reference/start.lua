-- A new challenge, and its mail noted in the address.
redis.call('HSET', KEYS[1], 'c', ARGV[1])
redis.call('PEXPIRE', KEYS[1], 960000)
redis.call('HSET', KEYS[2], 'l', ARGV[2])
redis.call('PEXPIRE', KEYS[2], 86460000)
return 1
