-- KEYS[2]: the expiries of a tag's holds. Answers the ids of those that hold money; mode expired: only of the expired ones.

local to = '+inf'
if ARGV[3] == 'expired' then to = str(now) end
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', to)
