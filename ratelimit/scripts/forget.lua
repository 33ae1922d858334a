-- Forgets what was counted of a limit. The next budget by this key is born later, so that what was held of this one gives
-- nothing back to it.

local t = takes[1]
local born = redis.call('TYPE', t.key).ok == 'hash' and redis.call('HGET', t.key, 'b')
redis.call('DEL', t.key)
if t.kind == 'a' and born then
  redis.call('HSET', t.key, 'b', str(born + 1))
  redis.call('PEXPIRE', t.key, str(idle))
end
return 1
