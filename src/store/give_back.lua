-- Takes a charge back: that of a request which another slot of the cluster has refused meanwhile.
--
-- KEYS   the counter
-- ARGV   the counter before the charge; the counter after it; and window (5 bytes), slices (1), burst (4), cost (5),
--        the units of it that the burst allowance lent (4), the time of the charge (6)
--
-- The packing is that of take.lua. Time to live stays: the counter matters no longer than it would have.

local pack, unpack = struct.pack, struct.unpack

local function without(raw, window, slices, burst, cost, lent, at)
  local width = window < 2^22 and 3 or window < 2^30 and 4 or 5
  local HEAD, BUCKET = '<I6I7I4I' .. width, '<I' .. width .. 'I' .. width .. 'I4'
  local head, size = 17 + width, 2 * width + 4
  if #raw < head or (#raw - head) % size ~= 0 then return raw end
  local function slice(time) return (time * slices - time * slices % window) / window end

  local last, debt, count, span = unpack(HEAD, raw)
  local stop, buckets = last, {}
  for from = head + 1, #raw + 1, size do
    local first = stop - span
    if slice(first) == slice(at) then count = count - cost end
    if count > 0 then buckets[#buckets + 1] = { first = first, last = stop, count = count } end
    if from <= #raw then
      local gap
      gap, span, count = unpack(BUCKET, raw, from)
      stop = first - gap
    end
  end

  local newest = buckets[1]
  if not newest then return nil end
  debt = debt - lent * window
  -- The debt is as of the last arrival, which may be an earlier one now.
  if debt > 0 then debt = math.min(debt + (last - newest.last) * burst, burst * window) else debt = 0 end
  local parts = { pack(HEAD, newest.last, debt, newest.count, newest.last - newest.first) }
  for i = 2, #buckets do
    local b = buckets[i]
    parts[i] = pack(BUCKET, buckets[i - 1].first - b.last, b.last - b.first, b.count)
  end
  return table.concat(parts)
end

local before, after = ARGV[1], ARGV[2]
local raw, value = redis.call('GET', KEYS[1]), nil
if raw == after then
  if before ~= '' then value = before end
elseif raw then
  value = without(raw, unpack('<I5I1I4I5I4I6', ARGV[3]))
end
if value then
  redis.call('SET', KEYS[1], value, 'KEEPTTL')
elseif raw then
  redis.call('DEL', KEYS[1])
end
