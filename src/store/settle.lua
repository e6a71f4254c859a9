-- Tells a counter what it missed: arrivals that an instance has admitted while it could not ask, and what the counter
-- is known to have been, should this server have lost it. counter.lua stands before it.
--
-- KEYS   the counter; the name under which the instance's last addition is noted
-- ARGV   window (5 bytes), slices (1), burst (4); the counter as the instance last saw it, or ''; the arrivals to add, or
--        ''; what this addition is called, so that it counts once however often it is sent; the instance's idea of this
--        server's time, or '=' and the time (a test drives the clock)
-- Reply  the counter as it is now, or ''
--
-- The packing is that of take.lua. A bucket is known by its first arrival, which does not change while the counter
-- lives, whatever is added: one that is here with the same first arrival was not lost, and only its larger count holds;
-- any other is put back, beside what may have come in its slice since. So several instances may tell what they have
-- seen, in any order.

local window, slices, burst = unpack('<I5I1I4', ARGV[1])
local seen, missed = decoded(ARGV[2], window), decoded(ARGV[3], window)
local now, ahead, least_ttl = tonumber(ARGV[5]), 0, 0
if now then
  local time = redis.call('TIME')
  local here = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
  now, ahead = here, here - now
else
  now, least_ttl = tonumber(string.sub(ARGV[5], 2)), 600000
end

local raw = redis.pcall('GET', KEYS[1])
if type(raw) == 'table' then
  if string.sub(raw.err, 1, 9) ~= 'WRONGTYPE' then return raw end
  raw = false
end
local counter = decoded(raw, window)
local allowance, debt, by_slice = burst * window, 0, {}

-- What is left at this time of a debt as of an earlier one.
local function owed(amount, since)
  return math.max(math.min(amount, allowance) - math.max(now - since, 0) * burst, 0)
end

-- More would not be exact, and a counter that is not counts as none.
local most = math.min(2^32 - 1, math.floor((2^53 - 1) / window))

local function add(b, moved, known)
  local first, last = math.min(b.first + moved, now), math.min(b.last + moved, now)
  if last <= now - window or b.count < 1 then return end
  local here = slice(first, window, slices)
  -- A moved bucket may not reach into the next slice.
  last = math.min(last, math.ceil((here + 1) * window / slices) - 1)
  local there = by_slice[here]
  if not there then
    by_slice[here] = { first = first, last = last, count = math.min(b.count, most) }
  elseif known and there.first == first then
    there.count, there.last = math.max(there.count, b.count), math.max(there.last, last)
  else
    there.count, there.last = math.min(there.count + b.count, most), math.max(there.last, last)
    if known then there.first = math.min(there.first, first) end
  end
end

-- A counter of a clock far ahead is moved by whole windows, as take.lua does.
if counter then
  local shift = counter[1].last - now
  shift = shift >= window and shift - shift % window or 0
  for _, b in ipairs(counter) do
    by_slice[slice(b.first - shift, window, slices)] = { first = b.first - shift, last = b.last - shift, count = b.count }
  end
  debt = owed(counter.debt, counter[1].last - shift)
end
if seen then
  -- Times that this server told itself need no correction, but for the clock of another one.
  local moved = math.abs(ahead) > 1000 and ahead or 0
  for _, b in ipairs(seen) do add(b, moved, true) end
  debt = math.max(debt, owed(seen.debt, seen[1].last + moved))
end
if missed and redis.call('GET', KEYS[2]) ~= ARGV[4] then
  for _, b in ipairs(missed) do add(b, ahead, false) end
  debt = debt + owed(missed.debt, missed[1].last + ahead)
  redis.call('SET', KEYS[2], ARGV[4], 'PX', math.max(window, least_ttl))
end

local merged = {}
for _, b in pairs(by_slice) do
  if b.last > now - window then merged[#merged + 1] = b end
end
if not merged[1] then return raw or '' end
table.sort(merged, function(a, b) return a.first > b.first end)
merged.debt = math.min(debt > 0 and debt + (now - merged[1].last) * burst or 0, allowance)
local value = encoded(merged, window)
if value ~= raw then redis.call('SET', KEYS[1], value, 'PX', math.max(window, least_ttl)) end
return value
