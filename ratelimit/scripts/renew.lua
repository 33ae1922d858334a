-- Lets a hold last, and holds again what of its slots and its money was forgotten, whatever the limits say.

local old, had = redis.call('GET', KEYS[1]), nil
if old == 's' or old == 'v' then return 0 end
if old then
  had = hold(old)
  if had and (had.phase ~= 'held' or #had.n ~= #takes) then return 0 end
end
had = had or empty()
for i, t in ipairs(takes) do
  if t.kind == 's' and t.n > 0 then
    redis.call('ZREMRANGEBYSCORE', t.key, '-inf', str(now))
    redis.call('ZADD', t.key, str(now + lifetime), ARGV[1])
    redis.call('PEXPIRE', t.key, str(lifetime + grace))
  elseif t.kind == 'a' then
    open(t, t.start)
    refresh(had, i, t)
    if had.start[i] == none then
      had.start[i], had.born[i] = turn(t, t.start), t.born
    end
    if known(t, had.start[i]) and t.n > had.n[i] then
      redis.call('HINCRBY', t.key, str(had.start[i]) .. 'h', str(t.n - had.n[i]))
      had.n[i] = t.n
    end
  end
end
last(had)
return 1
