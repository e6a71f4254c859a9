-- Decodes and encodes a counter as take.lua packs it. The scripts that run seldom begin with this file.

local pack, unpack = struct.pack, struct.unpack

-- { debt =, [1] = newest bucket, [2] = ... }, of { first =, last =, count = }. Nil: no counter of this window, or one that
-- take.lua would treat as empty.
local function decoded(raw, window)
  local width = window < 2^22 and 3 or window < 2^30 and 4 or 5
  local head, size = 17 + width, 2 * width + 4
  if type(raw) ~= 'string' or #raw < head or (#raw - head) % size ~= 0 or #raw > head + 64 * size then return nil end
  local stop, debt, count, span = unpack('<I6I7I4I' .. width, raw)
  if count < 1 or span * count >= 2^53 then return nil end
  local counter = { debt = debt, { first = stop - span, last = stop, count = count } }
  for from = head + 1, #raw, size do
    local gap
    gap, span, count = unpack('<I' .. width .. 'I' .. width .. 'I4', raw, from)
    if count < 1 or span * count >= 2^53 then return nil end
    stop = counter[#counter].first - gap
    counter[#counter + 1] = { first = stop - span, last = stop, count = count }
  end
  return counter
end

-- The debt is as of the last arrival.
local function encoded(counter, window)
  local width = window < 2^22 and 3 or window < 2^30 and 4 or 5
  local newest = counter[1]
  local parts = { pack('<I6I7I4I' .. width, newest.last, counter.debt, newest.count, newest.last - newest.first) }
  for i = 2, #counter do
    local b = counter[i]
    parts[i] = pack('<I' .. width .. 'I' .. width .. 'I4', counter[i - 1].first - b.last, b.last - b.first, b.count)
  end
  return table.concat(parts)
end

