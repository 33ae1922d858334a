-- What all scripts begin with. It says again what state.go says of each kind: one suite and the same random traces hold
-- both to it. Everything counted is a whole number below 2^53, so Lua's numbers are exact.
--
-- KEYS: the hold, the expiries of the tag's holds, and one for each take.
-- ARGV: the id, the time (0: ours), the mode, and seven for each take: kind, n, max, per, burst, start, stop. The kind is
-- r, w, s or a, behind a '-' if we are not asked about it.

-- str writes a number for a command or a name. Lua writes 14 digits by itself, and does so faster.
local function str(n)
  if n < 1e14 and n > -1e14 then return n end
  return string.format('%.0f', n)
end

local now = tonumber(ARGV[2])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

local takes = {}
for i = 1, #KEYS - 2 do
  local p = 3 + (i - 1) * 7
  takes[i] = {
    key = KEYS[i + 2], kind = ARGV[p + 1], n = tonumber(ARGV[p + 2]), max = tonumber(ARGV[p + 3]), per = tonumber(ARGV[p + 4]),
    burst = tonumber(ARGV[p + 5]), start = tonumber(ARGV[p + 6]), stop = tonumber(ARGV[p + 7]), more = 0,
  }
end

-- Rate: "debt at".
local function drained(t)
  local v = redis.call('GET', t.key)
  if not v then return 0 end
  local debt, at = string.match(v, '^(%d+) (%d+)$')
  debt, at = tonumber(debt), tonumber(at)
  if at > now then
    at = now
    redis.call('SET', t.key, str(debt) .. ' ' .. str(now), 'KEEPTTL')
  end
  if (now - at) * t.max >= debt then return 0 end
  return debt - (now - at) * t.max
end

local function owe(t, debt)
  redis.call('SET', t.key, str(debt) .. ' ' .. str(now), 'PX', str(math.floor(debt / t.max) + grace))
end

-- Window and Amount: a hash of the starts of the two newest windows (w, p), and for each start what was spent, held (h)
-- and overrun (o); and until when it is kept (e). Of an Amount also whether it is warm (k), and when it was born (b).
local function read(t, at)
  t.at = at
  at = str(at)
  local v = redis.call('HMGET', t.key, at, at .. 'h', at .. 'o', 'w', 'p', 'k', 'b', 'e')
  t.spent, t.held, t.overrun = tonumber(v[1] or 0), tonumber(v[2] or 0), tonumber(v[3] or 0)
  t.w, t.p, t.warm, t.born, t.kept = tonumber(v[4]), tonumber(v[5]), v[6], tonumber(v[7]), tonumber(v[8] or 0)
end

-- open reads a state that is about to change, with what was counted in a window.
local function open(t, at)
  read(t, at)
  if t.kind == 'a' and not t.born then
    t.born = now
    redis.call('HSET', t.key, 'b', str(now))
  end
  local after = grace
  if t.kind == 'a' then after = idle end
  local needed = math.max(t.stop, now) + after
  if t.kept < needed - after / 2 then -- not each time
    redis.call('HSET', t.key, 'e', str(needed))
    redis.call('PEXPIRE', t.key, str(needed - now))
  end
end

local function turn(t, start)
  if not t.w or start > t.w then
    if t.p then redis.call('HDEL', t.key, str(t.p), str(t.p) .. 'h', str(t.p) .. 'o') end
    t.p, t.w = t.w, start
    redis.call('HSET', t.key, 'w', str(t.w))
    if t.p then redis.call('HSET', t.key, 'p', str(t.p)) end
  end
  if start == t.w or not t.p then return t.w end
  return t.p
end

local function known(t, start) return start ~= none and (start == t.w or start == t.p) end

-- A hold: its phase (held or booked), when it expires, whether it holds money, and of each take the number, the start of
-- its window, when its state was born, the kind and the key. A settled one is 's', a void one 'v'.
local function hold(v)
  local h = {}
  h.phase, h.expires, h.money, h.n, h.start, h.born, h.kind, h.key = unpack(cmsgpack.unpack(v))
  if h.phase == 'held' and not h.money and h.expires <= now - grace then return nil end
  return h
end

local function empty()
  local h = {phase = 'held', expires = now, money = false, n = {}, start = {}, born = {}, kind = {}, key = {}}
  for i, t in ipairs(takes) do
    h.n[i], h.start[i], h.born[i], h.kind[i], h.key[i] = 0, none, 0, string.sub(t.kind, -1), t.key
    h.money = h.money or h.kind[i] == 'a'
  end
  return h
end

local function save(h, forget)
  redis.call('SET', KEYS[1], cmsgpack.pack({h.phase, h.expires, h.money, h.n, h.start, h.born, h.kind, h.key}), 'PX', str(forget))
end

local function last(h)
  h.expires = now + lifetime
  if h.money then
    save(h, idle)
    redis.call('ZADD', KEYS[2], str(h.expires), ARGV[1])
  else
    save(h, lifetime + 2 * grace)
  end
end

-- refresh takes from a hold what its state has forgotten.
local function refresh(h, i, t)
  if t.kind == 'a' and h.born[i] ~= t.born then
    h.n[i], h.start[i], h.born[i] = 0, none, t.born
  end
end
