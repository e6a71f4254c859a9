-- Adds to a counter what it lacks: arrivals that an instance admitted while this server was unavailable, and what an
-- instance saw of the counter, should this server have lost it. counter.lua comes before this file.
--
-- KEYS   the counter; the key that records the instance's last addition
-- ARGV   window (5 bytes), slices (1), burst (4); the counter as the instance last saw it, or ''; the arrivals to add, or
--        ''; the number of this addition, which counts once however often it is sent; the instance's estimate of
--        this server's time; then, only if a test drives the clock, '=' and its time; then the deadline in milliseconds of this
--        server's clock
-- Reply  the time; and the counter as it is now, or ''. Only the time: the deadline has passed, and nothing was changed.
--
-- The packing is that of take.lua. A bucket is identified by its first arrival, which does not change while the counter
-- exists, whatever is added: one that is here with the same first arrival was not lost, and the larger count is kept;
-- any other is put back, beside what may have come in its slice since. So several instances may send what they
-- saw, in any order. Those times are a server's, and stay as they are; the times of additions are the instance's, and are
-- corrected by the error of its estimate.

local window, slices, burst = unpack('<I5I1I4', ARGV[1])
local seen, missed = decoded(ARGV[2], window), decoded(ARGV[3], window)
local clock, least_ttl = redis.call('TIME'), 0
local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
if now > tonumber(ARGV[#ARGV]) then return { now } end
if #ARGV > 6 then now, least_ttl = tonumber(string.sub(ARGV[6], 2)), 600000 end

local raw = redis.pcall('GET', KEYS[1])
if type(raw) == 'table' then
  if string.sub(raw.err, 1, 9) ~= 'WRONGTYPE' then return raw end
  raw = false
end
local counter = decoded(raw, window)
local allowance, debt, by_slice = burst * window, 0, {}
-- A counter never sees its clock run backwards: at is now, or its last arrival if that is later.
local at = now

-- Returns what is left at `at` of a debt as of an earlier time.
local function owed(amount, since)
  return math.max(math.min(amount, allowance) - math.max(at - since, 0) * burst, 0)
end

-- A larger count would not be exact, and an inexact counter counts as empty.
local most = math.min(2^32 - 1, math.floor((2^53 - 1) / window))

local function add(first, last, count, known)
  if last <= at - window or count < 1 then return end
  local here = slice(first, window, slices)
  -- A bucket that was moved must not reach into the next slice.
  last = math.min(last, math.ceil((here + 1) * window / slices) - 1)
  local there = by_slice[here]
  if not there then
    by_slice[here] = { first = first, last = last, count = math.min(count, most) }
  elseif known and there.first == first then
    there.count, there.last = math.max(there.count, count), math.max(there.last, last)
  else
    there.count, there.last = math.min(there.count + count, most), math.max(there.last, last)
    if known then there.first = math.min(there.first, first) end
  end
end

-- From times that are ahead by a window or more, take.lua subtracts whole windows.
local function too_far(last)
  return last - now >= window and last - now - (last - now) % window or 0
end

if counter then
  local shift = too_far(counter[1].last)
  at = math.max(now, counter[1].last - shift)
  for _, b in ipairs(counter) do
    local first = b.first - shift
    by_slice[slice(first, window, slices)] = { first = first, last = b.last - shift, count = b.count }
  end
  debt = owed(counter.debt, counter[1].last - shift)
end
if seen then
  local shift = too_far(seen[1].last)
  local before = at
  at = math.max(at, seen[1].last - shift)
  debt = math.max(math.max(debt - (at - before) * burst, 0), owed(seen.debt, seen[1].last - shift))
  for _, b in ipairs(seen) do add(b.first - shift, b.last - shift, b.count, true) end
end
if missed and redis.pcall('GET', KEYS[2]) ~= ARGV[4] then
  local ahead = at - tonumber(ARGV[5])
  for _, b in ipairs(missed) do add(math.min(b.first + ahead, at), math.min(b.last + ahead, at), b.count, false) end
  debt = debt + owed(missed.debt, missed[1].last + ahead)
  redis.call('SET', KEYS[2], ARGV[4], 'PX', math.max(window, least_ttl))
end

local merged = {}
for _, b in pairs(by_slice) do
  if b.last > at - window then merged[#merged + 1] = b end
end
if not merged[1] then return { now, raw or '' } end
table.sort(merged, function(a, b) return a.first > b.first end)
merged.debt = math.min(debt > 0 and debt + (at - merged[1].last) * burst or 0, allowance)
local value = encoded(merged, window)
if value ~= raw then redis.call('SET', KEYS[1], value, 'PX', math.max(window, least_ttl)) end
return { now, value }
