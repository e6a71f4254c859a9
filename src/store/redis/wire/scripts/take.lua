-- Decides about all the charges of one request, in one step: window.rs and window/take.rs, decision for
-- decision; there stands why. Redis serves nobody else meanwhile, so this is written to be quick: no functions
-- (each would be made anew at every call), and of a counter only the buckets that count are read.
--
-- KEYS   one counter per charge
-- ARGV   for each key: quota (4 bytes), burst (4), window (5), slices (1), cost (5), group (4); then, only if a test
--        drives the clock, '=' and its time; then the deadline in milliseconds of this server's clock
-- Reply  the time; then for each key: 1 if charged, else 0; and the counter as it was before, so that the
--        caller can derive all the rest and check this script's arithmetic. The time alone: the deadline is past,
--        the caller has gone, and nothing was counted.
--
-- A counter is packed little-endian: last_ms (6 bytes), debt (7), then the newest bucket's count (4) and span
-- (its last - first), which ends at last_ms; then the older ones, newest first: gap (the next one's first - its
-- last), span, count (4). Gaps and spans are below two windows: 3 bytes for windows below 2^22 ms (70 minutes), 4
-- below 2^30 ms (12 days), 5 for longer ones. All values are integers below 2^53, which Lua's numbers hold exactly; a - a % b is exact, and so is its
-- division by b, where floor(a / b) could be rounded up.

local pack, unpack, sub, call, pcall = struct.pack, struct.unpack, string.sub, redis.call, redis.pcall
local n = #KEYS
local clock, least_ttl = call('TIME'), 0
local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
if now > tonumber(ARGV[#ARGV]) then return { now } end
if #ARGV > n + 1 then now, least_ttl = tonumber(sub(ARGV[n + 1], 2)), 600000 end

-- For each key: what to write if it is charged, and if it is not.
local charged, uncharged, groups, windows, refused, reply = {}, {}, {}, {}, {}, { now }
for i = 1, n do
  local quota, burst, window, slices, cost, group = unpack('<I4I4I5I1I5I4', ARGV[i])
  local HEAD, BUCKET, head, size = '<I6I7I4I3', '<I3I3I4', 20, 10
  if window >= 2^30 then
    HEAD, BUCKET, head, size = '<I6I7I4I5', '<I5I5I4', 22, 14
  elseif window >= 2^22 then
    HEAD, BUCKET, head, size = '<I6I7I4I4', '<I4I4I4', 21, 12
  end

  -- What this script did not write counts as nothing, and is overwritten.
  local raw = pcall('GET', KEYS[i])
  if type(raw) == 'table' then
    if sub(raw.err, 1, 9) ~= 'WRONGTYPE' then return raw end
    raw = false
  end
  reply[2 * i + 1] = raw or ''
  local sound = raw and #raw >= head and (#raw - head) % size == 0 and #raw <= head + 64 * size
  local last, debt, newest, span, shift, used, live = 0, 0, 0, 0, 0, 0, 0
  if sound then
    last, debt, newest, span = unpack(HEAD, raw)
    local ahead = last - now
    if ahead >= window then
      shift = ahead - ahead % window
      last = last - shift
    end
    local cut = (now > last and now or last) - window
    local at, count, first, stop, length = head, newest, last - span, last, span
    while sound and cut < stop do
      live = at
      if count < 1 or length * count >= 2^53 then
        sound = false
      elseif cut < first then
        used = used + count
      else
        local gone = (cut - first) * (count - 1)
        used = used + count - 1 - (gone - gone % length) / length
      end
      if at == #raw then break end
      local gap
      gap, length, count = unpack(BUCKET, raw, at + 1)
      at, stop = at + size, first - gap
      first = stop - length
    end
  end
  if not sound then last, debt, shift, used, live = 0, 0, 0, 0, 0 end

  -- A clock that stepped back stands still until it has caught up.
  local time = now > last and now or last
  local allowance = burst * window
  local owed = (debt < allowance and debt or allowance) - (time - last) * burst
  if owed < 0 then owed = 0 end
  local need = used + cost - quota
  if need > cost then need = cost elseif need < 0 then need = 0 end
  owed = owed + need * window

  if used + cost > quota + burst or owed > allowance then
    refused[group] = true
  else
    local here = time * slices
    here = (here - here % window) / window
    local there = (last - span) * slices
    there = (there - there % window) / window
    if live == 0 then
      charged[i] = pack(HEAD, time, owed, cost, 0)
    elseif here == there then
      charged[i] = pack(HEAD, time, owed, newest + cost, time - last + span) .. sub(raw, head + 1, live)
    else
      charged[i] = pack(HEAD, time, owed, cost, 0) .. pack(BUCKET, time - last, span, newest)
        .. sub(raw, head + 1, live)
    end
  end
  if shift > 0 then uncharged[i] = pack(HEAD, last, debt, newest, span) .. sub(raw, head + 1) end
  groups[i], windows[i] = group, window > least_ttl and window or least_ttl
end

for i = 1, n do
  local stands = not refused[0] and not refused[groups[i]]
  local value = uncharged[i]
  if stands then value = charged[i] end
  if value then call('SET', KEYS[i], value, 'PX', windows[i]) end
  reply[2 * i] = stands and 1 or 0
end
return reply
