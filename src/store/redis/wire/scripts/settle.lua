-- Adds to a counter what it lacks: arrivals that an instance admitted while this server was unavailable, and what an
-- instance saw of the counter, should this server have lost it. counter_prelude.lua comes before this file.
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
-- any other is put back, beside what has come since. So several instances may send what they saw, in any order, and
-- whatever slices they count in. Those times are a server's, and stay as they are; the times of additions are the
-- instance's, and are corrected by the error of its estimate.

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
local allowance, debt, buckets, by_first = burst * window, 0, {}, {}
-- A counter never sees its clock run backwards: at is now, or its last arrival if that is later.
local at = now

-- Returns what is left at `at` of a debt as of an earlier time.
local function owed(amount, since)
  return math.max(math.min(amount, allowance) - math.max(at - since, 0) * burst, 0)
end

-- A larger count would not be exact, and an inexact counter counts as empty.
local most = math.min(2^32 - 1, math.floor((2^53 - 1) / window))

local function insert(first, last, count)
  local new = { first = first, last = last, count = math.min(count, most) }
  buckets[#buckets + 1], by_first[first] = new, new
end

-- Puts back what is not here of a bucket that the counter had.
local function restore(first, last, count)
  if last <= at - window then return end
  local there = by_first[first]
  if there then
    there.count, there.last = math.max(there.count, math.min(count, most)), math.max(there.last, last)
  else
    insert(first, last, count)
  end
end

-- Returns the slice that a time is in.
local function slice(time)
  return (time * slices - time * slices % window) / window
end

-- Adds arrivals to the newest bucket that began before their end, if that is in their slice or reaches into their span:
-- so no two buckets overlap, and no arrival expires early. Else adds them to the next bucket of their slice, or as a
-- bucket of their own.
local function add(first, last, count)
  if last <= at - window then return end
  local before, after
  for _, b in ipairs(buckets) do
    if b.first <= last then
      if not before or b.first > before.first then before = b end
    elseif slice(b.first) == slice(first) and (not after or b.first < after.first) then
      after = b
    end
  end
  if before and slice(before.first) ~= slice(first) and before.last < first then before = nil end
  local there = before or after
  if there then
    there.count, there.last = math.min(there.count + count, most), math.max(there.last, last)
  else
    insert(first, last, count)
  end
end

-- Returns a bucket whose span take.lua can read: see Bucket::merged in window.rs.
local function bucket(first, last, count)
  local exact = 2^53 - 1
  local span = math.min(last - first, 2 * window, (exact - exact % count) / count)
  return { first = last - span, last = last, count = count }
end

local function merged(older, newer)
  return bucket(older.first, math.max(older.last, newer.last), math.min(older.count + newer.count, most))
end

-- From times that are ahead by a window or more, take.lua subtracts whole windows.
local function too_far(last)
  return last - now >= window and last - now - (last - now) % window or 0
end

if counter then
  local shift = too_far(counter[1].last)
  at = math.max(now, counter[1].last - shift)
  for _, b in ipairs(counter) do insert(b.first - shift, b.last - shift, b.count) end
  debt = owed(counter.debt, counter[1].last - shift)
end
if seen then
  local shift = too_far(seen[1].last)
  local before = at
  at = math.max(at, seen[1].last - shift)
  debt = math.max(math.max(debt - (at - before) * burst, 0), owed(seen.debt, seen[1].last - shift))
  for _, b in ipairs(seen) do restore(b.first - shift, b.last - shift, b.count) end
end
if missed and redis.pcall('GET', KEYS[2]) ~= ARGV[4] then
  local ahead = at - tonumber(ARGV[5])
  for _, b in ipairs(missed) do add(math.min(b.first + ahead, at), math.min(b.last + ahead, at), b.count) end
  debt = debt + owed(missed.debt, missed[1].last + ahead)
  redis.call('SET', KEYS[2], ARGV[4], 'PX', math.max(window, least_ttl))
end

-- Oldest first, none that reaches into the next one, and at most 65.
table.sort(buckets, function(a, b) return a.first < b.first end)
local apart, first = {}, 1
for _, b in ipairs(buckets) do
  local before = apart[#apart]
  if b.last <= at - window then
    -- It has expired.
  elseif before and b.first < before.last then
    apart[#apart] = merged(before, b)
  else
    apart[#apart + 1] = bucket(b.first, b.last, b.count)
  end
end
while #apart - first >= 65 do
  apart[first + 1] = merged(apart[first], apart[first + 1])
  first = first + 1
end
local newest = apart[#apart]
if not newest then return { now, raw or '' } end
local settled = {}
for i = #apart, first, -1 do settled[#settled + 1] = apart[i] end
settled.debt = math.min(debt > 0 and debt + (at - newest.last) * burst or 0, allowance)
local value = encoded(settled, window)
if value ~= raw then redis.call('SET', KEYS[1], value, 'PX', math.max(window, least_ttl)) end
return { now, value }
