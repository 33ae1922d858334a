-- Says what is known to be spent of a budget. It only raises.

local t = takes[1]
open(t)
if not t.w or t.start > t.w then turn(t, t.start) end
if known(t, t.start) then
  local spent = tonumber(redis.call('HGET', t.key, str(t.start)) or 0)
  redis.call('HSET', t.key, str(t.start), str(math.max(spent, t.n)))
end
redis.call('HSET', t.key, 'k', '1')
keep(t)
return 1
