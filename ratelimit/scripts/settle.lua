-- Ends a hold with what was used (mode settle), with an estimate (sweep), or as if it had never been (void). The n of each
-- take is what was used. Answers 1 if that was news.

local mode, old, had = ARGV[3], redis.call('GET', KEYS[1]), nil
if old == 's' then return 0 end
if old and old ~= 'v' then
  had = hold(old)
  if had and #had.n ~= #takes then return 0 end
end
if mode == 'sweep' and (not had or had.phase ~= 'held') then return 0 end
if mode == 'void' and (old == 'v' or had and had.phase ~= 'held') then return 0 end
if mode == 'void' and not had then
  redis.call('SET', KEYS[1], 'v', 'PX', str(settled)) -- a take that comes late is refused
  return 1
end
had = had or empty()
if mode == 'void' then
  for _, t in ipairs(takes) do t.n = 0 end
end

local function count(i, t)
  open(t)
  refresh(had, i, t)
  if had.start[i] == none then
    had.start[i] = t.start
    if not t.w or t.start > t.w then turn(t, t.start) end
  end
  if not known(t, had.start[i]) then return end
  local at, n = str(had.start[i]), had.n[i]
  if t.kind == 'w' then
    local spent = tonumber(redis.call('HGET', t.key, at) or 0)
    redis.call('HSET', t.key, at, str(math.max(0, spent + t.n - n)))
  else
    if had.phase == 'held' then
      redis.call('HINCRBY', t.key, at .. 'h', str(0 - n)) -- and not -0
      redis.call('HINCRBY', t.key, at, str(t.n))
    else
      redis.call('HINCRBY', t.key, at, str(t.n - n))
    end
    if t.n > n then redis.call('HINCRBY', t.key, at .. 'o', str(t.n - n)) end
    had.n[i] = t.n
  end
  keep(t)
end

local function book(i, t)
  if t.kind == 's' then
    redis.call('ZREM', t.key, ARGV[1])
  elseif t.kind == 'r' then
    if mode ~= 'sweep' then
      local debt = drained(t) + (math.min(t.n, math.floor(most / t.per)) - had.n[i]) * t.per
      owe(t, math.min(math.max(debt, 0), most))
    end
  elseif t.kind == 'a' or mode ~= 'sweep' then
    count(i, t)
  end
end

for i, t in ipairs(takes) do book(i, t) end
redis.call('ZREM', KEYS[2], ARGV[1])
if mode == 'sweep' then
  had.phase = 'booked'
  save(had, swept)
else
  redis.call('SET', KEYS[1], mode == 'void' and 'v' or 's', 'PX', str(settled))
end
return 1
