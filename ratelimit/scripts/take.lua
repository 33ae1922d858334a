-- Takes everything or nothing. Answers 1 (taken) or 0, the time, and for each take what is left, its reset and its wait;
-- or -1: the hold has ended, -2 and a number: it has another number of takes, -3 and the time: the windows are not now's.

local old, had = redis.call('GET', KEYS[1]), nil
if old == 's' or old == 'v' then return {-1} end
if old then
  had = hold(old)
  if had and had.phase ~= 'held' then return {-1} end
  if had and #had.n ~= #takes then return {-2, #had.n} end
end
for _, t in ipairs(takes) do
  if t.start ~= none and (now < t.start or t.stop > 0 and now >= t.stop) then return {-3, now} end
end

local function ask(i, t)
  t.more = t.n
  if t.kind == 's' then
    t.count = redis.call('ZCOUNT', t.key, '(' .. str(now), '+inf')
    if had then
      local expires = tonumber(redis.call('ZSCORE', t.key, ARGV[1]) or 0)
      if expires > now then t.more, t.leased = 0, true end
    end
    return
  end
  if t.kind == 'r' then
    t.debt = drained(t)
  else
    open(t, t.start)
    local at = turn(t, t.start)
    if had then
      refresh(had, i, t)
      if known(t, had.start[i]) then
        at = had.start[i]
      elseif had.start[i] ~= none then
        had.n[i] = 0
      end
    end
    if at ~= t.at then read(t, at) end
  end
  if had then t.more = math.max(0, t.more - had.n[i]) end
end

local function wait(t)
  local rest = 0
  if t.stop > 0 then rest = t.stop - now end
  if t.kind == 'a' and not t.warm then return cold end
  if t.kind == 'r' then
    if t.more > t.burst then return never end
    return math.max(0, math.ceil((t.debt - (t.burst * t.per - t.more * t.per)) / t.max))
  end
  if t.more > t.max then return never end
  if t.kind == 's' then
    if t.more > 0 and t.count >= t.max then return soon end
  elseif t.kind == 'w' then
    if t.more > t.max - t.spent then return rest end
  elseif t.more > t.max - t.spent - t.held then
    if t.more <= t.max - t.spent then
      if t.stop > 0 then return math.min(soon, rest) end
      return soon
    end
    if t.stop == 0 then return never end
    return rest
  end
  return 0
end

local function left(t)
  if t.kind == 'r' then
    return math.max(0, math.floor((t.burst * t.per - t.debt) / t.per)), math.ceil(t.debt / t.max)
  elseif t.kind == 's' then
    return math.max(0, t.max - t.count), 0
  end
  local reset = 0
  if t.stop > 0 then reset = t.stop - now end
  if t.kind == 'a' and not t.warm then return 0, reset end
  return math.max(0, t.max - t.spent - t.held), reset
end

local function give(h, i, t)
  if t.kind == 's' then
    if t.more > 0 or t.leased then
      if t.count == 0 then redis.call('DEL', t.key) end -- none of them counts any more
      h.n[i] = 1
      redis.call('ZADD', t.key, str(now + lifetime), ARGV[1])
      redis.call('PEXPIRE', t.key, str(lifetime + grace))
    end
    if t.more > 0 then t.count = t.count + 1 end
    return
  end
  h.n[i] = h.n[i] + t.more
  if t.kind == 'r' then
    t.debt = t.debt + t.more * t.per
    owe(t, t.debt)
    return
  end
  h.start[i] = t.at
  if t.kind == 'w' then
    t.spent = t.spent + t.more
    redis.call('HINCRBY', t.key, str(t.at), str(t.more))
  else
    h.born[i] = t.born
    t.held = t.held + t.more
    redis.call('HINCRBY', t.key, str(t.at) .. 'h', str(t.more))
  end
end

local function asked(t) return #t.kind == 1 end

local ok, waits = 1, {}
for i, t in ipairs(takes) do
  waits[i] = 0
  if asked(t) then
    ask(i, t)
    if not had or t.more > 0 then waits[i] = wait(t) end
    if waits[i] ~= 0 then ok = 0 end
  end
end
if ok == 1 then
  local h = had or empty()
  for i, t in ipairs(takes) do
    if asked(t) then give(h, i, t) end
  end
  last(h)
end
local out = {ok, now}
for i, t in ipairs(takes) do
  local units, reset = 0, 0
  if asked(t) then units, reset = left(t) end
  out[#out + 1], out[#out + 2], out[#out + 3] = units, reset, waits[i]
end
return out
