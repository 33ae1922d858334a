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
  local at = had.start[i]
  if at == none then at = t.start end
  open(t, at)
  refresh(had, i, t)
  if had.start[i] == none then
    had.start[i] = t.start
    if not t.w or t.start > t.w then turn(t, t.start) end
    if t.start ~= at then read(t, t.start) end
  end
  if not known(t, had.start[i]) then return end
  at = str(had.start[i])
  local n = had.n[i]
  if t.kind == 'w' then
    redis.call('HSET', t.key, at, str(math.max(0, t.spent + t.n - n)))
    return
  end
  local given = 0
  if had.phase == 'held' then given = n end
  redis.call('HSET', t.key, at .. 'h', str(t.held - given), at, str(t.spent + t.n - n + given), at .. 'o', str(t.overrun + math.max(0, t.n - n)))
  had.n[i] = t.n
end

local function book(i, t)
  if t.kind == 's' then
    redis.call('ZREM', t.key, ARGV[1])
  elseif t.kind ~= 'a' and t.n == had.n[i] then
    return -- it used what it took
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
