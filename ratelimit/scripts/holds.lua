-- KEYS: holds. Answers for each that stands its id, when it expires, and of each take kind, key, n and start.
-- ARGV: the ids.

local out = {}
for i, key in ipairs(KEYS) do
  local v = redis.call('GET', key)
  if v and v ~= 's' and v ~= 'v' then
    local phase, expires, _, n, start, _, kind, name = unpack(cmsgpack.unpack(v))
    if phase == 'held' then
      local h = {ARGV[i], expires}
      for j = 1, #n do
        h[#h + 1], h[#h + 2], h[#h + 3], h[#h + 4] = kind[j], name[j], n[j], start[j]
      end
      out[#out + 1] = h
    end
  end
end
return out
