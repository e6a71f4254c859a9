-- Takes a charge back, because another slot of the cluster has refused the same request. counter_prelude.lua comes before this
-- file.
--
-- KEYS   the counter
-- ARGV   the counter before the charge; the counter after it; and window (5 bytes), burst (4), cost (5), the units of it
--        that the burst allowance lent (4), the time of the charge (6)
--
-- The time to live stays: the counter matters no longer than before.

local function without(raw, window, burst, cost, lent, at)
  local counter = decoded(raw, window)
  if not counter then return raw end
  local left, last, found = { debt = counter.debt - lent * window }, counter[1].last, false
  for _, b in ipairs(counter) do
    -- The one that the charge is in: the newest that began by then. It may end before: if another charge was restored
    -- exactly, the bucket has the end from before that one. Which slices there are does not matter: others may count in
    -- other ones.
    if not found and b.first <= at then
      found = true
      b.count = b.count - cost
    end
    if b.count > 0 then left[#left + 1] = b end
  end
  if not left[1] then return nil end
  -- The last arrival may be an earlier one now, which the debt is as of.
  if left.debt > 0 then left.debt = math.min(left.debt + (last - left[1].last) * burst, burst * window) else left.debt = 0 end
  return encoded(left, window)
end

local before, after = ARGV[1], ARGV[2]
local raw, value = redis.call('GET', KEYS[1]), nil
if raw == after then
  if before ~= '' then value = before end
elseif raw then
  value = without(raw, unpack('<I5I4I5I4I6', ARGV[3]))
end
if value then
  redis.call('SET', KEYS[1], value, 'KEEPTTL')
elseif raw then
  redis.call('DEL', KEYS[1])
end
