-- Decides about all the charges of one request, in one step: window.rs and window/take.rs, decision for
-- decision; those files give the reasons. Redis serves no other client meanwhile, so this is written to be quick: no
-- functions (each would be created at every call), few tables, and only the buckets that count are read, four at a time
-- where they count as a whole.
--
-- KEYS   one counter per charge
-- ARGV   for each key: quota (4 bytes), burst (4), window (5), slices (1), cost (5), group (4), and in digits the
--        milliseconds after which the counter expires; then, only if a test drives the clock, '=' and its time; then
--        the deadline in milliseconds of this server's clock
-- Reply  the time; then for each key: 1 if charged, else 0; and the counter as it was before, so that the
--        caller can derive all the rest and check this script's arithmetic. Only the time: the deadline
--        has passed, the caller has given up, and nothing was counted.
--
-- A counter is packed little-endian: last_ms (6 bytes), debt (7), then the newest bucket's count (4) and span
-- (its last - first), which ends at last_ms; then the older ones, newest first: gap (the next one's first - its
-- last), span, count (4). There are at most 65 buckets, whatever slices wrote them. Gaps and spans are below two windows:
-- 3 bytes for windows below 2^22 ms (70 minutes), 4 below 2^30 ms (12 days), 5 for longer ones. All values are integers
-- below 2^53, which Lua's numbers hold exactly; a - a % b is exact, and so is its division by b, where floor(a / b) could
-- be rounded up.

local pack, unpack, sub, call, pcall = struct.pack, struct.unpack, string.sub, redis.call, redis.pcall
local n = #KEYS
local clock = call('TIME')
local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
if now > tonumber(ARGV[#ARGV]) then return { now } end
if #ARGV > n + 1 then now = tonumber(sub(ARGV[n + 1], 2)) end

-- For each key: what to write if it is charged, what if it is not, its group, its time to live, and what it was.
local plans, refused, void = {}, nil, false
for i = 1, n do
  local quota, burst, window, slices, cost, group = unpack('<I4I4I5I1I5I4', ARGV[i])
  local HEAD, BUCKET, FOUR, head, size = '<I6I7I4I3', '<I3I3I4', '<I3I3I4I3I3I4I3I3I4I3I3I4', 20, 10
  if window >= 2^30 then
    HEAD, BUCKET, FOUR, head, size = '<I6I7I4I5', '<I5I5I4', '<I5I5I4I5I5I4I5I5I4I5I5I4', 22, 14
  elseif window >= 2^22 then
    HEAD, BUCKET, FOUR, head, size = '<I6I7I4I4', '<I4I4I4', '<I4I4I4I4I4I4I4I4I4I4I4I4', 21, 12
  end

  -- A value that this script did not write counts as an empty counter, and is overwritten.
  local raw = pcall('GET', KEYS[i])
  if type(raw) == 'table' then
    if sub(raw.err, 1, 9) ~= 'WRONGTYPE' then return raw end
    raw = false
  end
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
    local at, first, stop, count, length, fours = head, last - span, last, newest, span, true
    while cut < stop do
      live = at
      if count < 1 or length * count >= 2^53 then
        sound = false
        break
      elseif cut >= first then
        local gone = (cut - first) * (count - 1)
        used = used + count - 1 - (gone - gone % length) / length
        break
      end
      used = used + count
      while fours and #raw - at >= 4 * size do
        local g1, s1, c1, g2, s2, c2, g3, s3, c3, g4, s4, c4 = unpack(FOUR, raw, at + 1)
        local spans, counts = s1 + s2 + s3 + s4, c1 + c2 + c3 + c4
        local begin = first - g1 - g2 - g3 - g4 - spans
        fours = cut < begin and spans * counts < 2^53 and c1 * c2 * c3 * c4 > 0
        if fours then used, first, at = used + counts, begin, at + 4 * size end
      end
      live = at
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

  local charged, uncharged
  local fits = used + cost <= quota + burst and owed <= allowance
  if fits then
    local here = time * slices
    here = (here - here % window) / window
    local there = (last - span) * slices
    there = (there - there % window) / window
    if live == 0 then
      charged = pack(HEAD, time, owed, cost, 0)
    elseif here == there then
      charged = pack(HEAD, time, owed, newest + cost, time - last + span) .. sub(raw, head + 1, live)
    else
      local merged = ''
      if live == head + 64 * size then
        -- One bucket too many: the two oldest become one.
        live = live - 2 * size
        local gap, length, count = unpack(BUCKET, raw, live + 1)
        local gap_before, length_before, count_before = unpack(BUCKET, raw, live + size + 1)
        count = math.min(count + count_before, 2^32 - 1)
        local exact = 2^53 - 1
        exact = (exact - exact % count) / count
        merged = pack(BUCKET, gap, math.min(length + gap_before + length_before, 2 * window, exact), count)
      end
      charged = pack(HEAD, time, owed, cost, 0) .. pack(BUCKET, time - last, span, newest)
        .. sub(raw, head + 1, live) .. merged
    end
  elseif group == 0 then
    void = true
  else
    refused = refused or {}
    refused[group] = true
  end
  if shift > 0 then uncharged = pack(HEAD, last, debt, newest, span) .. sub(raw, head + 1) end

  if n == 1 then
    -- The usual case, which needs no table.
    local value = uncharged
    if fits then value = charged end
    if value then call('SET', KEYS[1], value, 'PX', sub(ARGV[1], 24)) end
    return { now, fits and 1 or 0, raw or '' }
  end
  plans[i] = { charged, uncharged, group, sub(ARGV[i], 24), raw or '' }
end

local reply = { now }
for i = 1, n do
  local plan = plans[i]
  local kept = not void and not (refused and refused[plan[3]])
  local value = plan[2]
  if kept then value = plan[1] end
  if value then call('SET', KEYS[i], value, 'PX', plan[4]) end
  reply[2 * i], reply[2 * i + 1] = kept and 1 or 0, plan[5]
end
return reply
