-- Says what is known to be spent of a budget. It only raises.

local t = takes[1]
open(t, t.start)
if not t.w or t.start > t.w then turn(t, t.start) end
if known(t, t.start) then
  redis.call('HSET', t.key, str(t.start), str(math.max(t.spent, t.n)))
end
redis.call('HSET', t.key, 'k', '1')
return 1
