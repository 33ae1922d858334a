-- Says what is used: for each take used, held, overrun, reset and whether it is cold. Or -3 and the time: the windows are
-- not now's.

for _, t in ipairs(takes) do
  if t.start ~= none and (now < t.start or t.stop > 0 and now >= t.stop) then return {-3, now} end
end

local function use(t)
  if t.kind == 'r' then
    local debt = drained(t)
    return math.ceil(debt / t.per), 0, 0, math.ceil(debt / t.max), 0
  elseif t.kind == 's' then
    return redis.call('ZCOUNT', t.key, '(' .. str(now), '+inf'), 0, 0, 0, 0
  end
  read(t, t.start)
  local reset, unknown = 0, 0
  if t.stop > 0 then reset = t.stop - now end
  if t.kind == 'a' and not t.warm then unknown = 1 end
  if not t.w or t.start > t.w then return 0, 0, 0, reset, unknown end
  if t.start ~= t.w and t.start ~= t.p then read(t, t.p or t.w) end
  return t.spent, t.held, t.overrun, reset, unknown
end

local out = {0, now}
for _, t in ipairs(takes) do
  for _, n in ipairs({use(t)}) do out[#out + 1] = n end
end
return out
