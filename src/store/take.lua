-- Decides about all the charges of one request, in one step: window.rs and window/take.rs, decision for
-- decision. The names are theirs; there stands why.
--
-- KEYS   one counter per charge
-- ARGV   1 the time in milliseconds, or '' for this server's clock (a test drives it)
--        2 the least time to live of a counter in milliseconds (0, unless the clock is driven)
--        then for each key: quota, burst, window, slices, cost, group
-- Reply  the time; then for each key: 1 if charged, else 0; and the counter as it was before, so that the
--        caller can derive all the rest and check this script's arithmetic
--
-- A counter is packed little-endian: last_ms (6 bytes), debt (7), then per bucket count (4), last_ms - first (5),
-- last - first (5). All values are integers below 2^53, which Lua's numbers hold exactly.

local HEAD, BUCKET = 13, 14
local floor, max, min = math.floor, math.max, math.min

-- a - a % b is exact, and so is its division by b; floor(a / b) could be rounded up.
local function div(a, b) return (a - a % b) / b end

local function empty() return { last = 0, debt = 0, buckets = {} } end

local function decode(raw)
  -- What this script did not write counts as nothing, and is overwritten.
  if not raw or #raw < HEAD or (#raw - HEAD) % BUCKET ~= 0 then return empty() end
  local counter = empty()
  counter.last, counter.debt = struct.unpack('<I6I7', raw)
  for at = HEAD + 1, #raw, BUCKET do
    local count, age, span = struct.unpack('<I4I5I5', raw, at)
    if count < 1 or span > age or span * count >= 2^53 then return empty() end
    local first = counter.last - age
    counter.buckets[#counter.buckets + 1] = { count = count, first = first, last = first + span }
  end
  return counter
end

local function encode(counter)
  local parts = { struct.pack('<I6I7', counter.last, counter.debt) }
  for _, b in ipairs(counter.buckets) do
    parts[#parts + 1] = struct.pack('<I4I5I5', b.count, counter.last - b.first, b.last - b.first)
  end
  return table.concat(parts)
end

local function used(counter, charge, now)
  local cut, sum = max(now, counter.last) - charge.window, 0
  for _, b in ipairs(counter.buckets) do
    if cut < b.first then
      sum = sum + b.count
    elseif cut < b.last then
      sum = sum + b.count - 1 - div((cut - b.first) * (b.count - 1), b.last - b.first)
    end
  end
  return sum
end

local function debt(counter, charge, now)
  local paid = max(0, now - counter.last) * charge.burst
  return max(0, min(counter.debt, charge.burst * charge.window) - paid)
end

local function needs(charge, in_use)
  return max(0, min(charge.cost, in_use + charge.cost - charge.quota))
end

local function fits(counter, charge, now)
  local in_use, most = used(counter, charge, now), charge.quota + charge.burst
  return in_use + charge.cost <= most
    and debt(counter, charge, now) + needs(charge, in_use) * charge.window <= charge.burst * charge.window
end

local function add(counter, charge, at)
  local now = max(at, counter.last)
  local owed = debt(counter, charge, now) + needs(charge, used(counter, charge, now)) * charge.window
  local function slice(time) return div(time * charge.slices, charge.window) end
  local here, live = slice(now), {}
  for _, b in ipairs(counter.buckets) do
    if slice(b.first) >= here - charge.slices then live[#live + 1] = b end
  end
  local newest = live[#live]
  if newest and slice(newest.first) == here then
    newest.count, newest.last = newest.count + charge.cost, now
  else
    live[#live + 1] = { count = charge.cost, first = now, last = now }
  end
  counter.debt, counter.last, counter.buckets = owed, now, live
end

local function rebase(counter, charge, now)
  local ahead = counter.last - now
  if ahead < charge.window then return false end
  local shift = ahead - ahead % charge.window
  counter.last = counter.last - shift
  for _, b in ipairs(counter.buckets) do
    b.first, b.last = b.first - shift, b.last - shift
  end
  return true
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end

local charges, refused = {}, {}
for i, key in ipairs(KEYS) do
  local at = 3 + (i - 1) * 6
  local charge = {
    quota = tonumber(ARGV[at]), burst = tonumber(ARGV[at + 1]), window = tonumber(ARGV[at + 2]),
    slices = tonumber(ARGV[at + 3]), cost = tonumber(ARGV[at + 4]), group = tonumber(ARGV[at + 5]),
    before = redis.call('GET', key),
  }
  charge.counter = decode(charge.before)
  charge.changed = rebase(charge.counter, charge, now)
  if not fits(charge.counter, charge, now) then refused[charge.group] = true end
  charges[i] = charge
end

local reply = { now }
for i, key in ipairs(KEYS) do
  local charge = charges[i]
  local charged = not refused[0] and not refused[charge.group]
  if charged then add(charge.counter, charge, now) end
  if charged or charge.changed then
    redis.call('SET', key, encode(charge.counter), 'PX', max(charge.window, tonumber(ARGV[2])))
  end
  reply[#reply + 1] = charged and 1 or 0
  reply[#reply + 1] = charge.before or ''
end
return reply
