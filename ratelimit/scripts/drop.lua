-- Forgets the hold if it was settled.

if redis.call('GET', KEYS[1]) == 's' then return redis.call('DEL', KEYS[1]) end
return 0
