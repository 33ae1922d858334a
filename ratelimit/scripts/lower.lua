-- Takes back some of what was spent of a budget in a window, at most all of it.

local t = takes[1]
read(t, t.start)
if known(t, t.start) then
  redis.call('HSET', t.key, str(t.start), str(math.max(0, t.spent - t.n)))
end
return 1
