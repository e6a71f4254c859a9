-- Records that the caller is alive, and counts the instances that are.
--
-- KEYS   the list of instances
-- ARGV   the caller's name (8 bytes); the number of milliseconds for which it counts as alive from now on
-- Reply  the number of instances; the caller's index among them, from 0; and the number of those that count in other keys
--        than the caller: as text, as a number would be taken for a time
--
-- The list is names in ascending order, each with its time of expiry (6 bytes, little-endian). Instances that count in the
-- same keys have names that begin with the same 3 bytes: see keyspace.rs.

local own, ttl = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
local raw = redis.pcall('GET', KEYS[1])
if type(raw) ~= 'string' or #raw % 14 ~= 0 then raw = '' end
local alive, longest, index, others = {}, ttl, 0, 0
for from = 1, #raw, 14 do
  local name, left = string.sub(raw, from, from + 7), struct.unpack('<I6', raw, from + 8) - now
  -- A clock that was set back must not keep an instance that ended for long.
  if name ~= own and left > 0 and left <= 3600000 then
    alive[#alive + 1] = string.sub(raw, from, from + 13)
    if name < own then index = index + 1 end
    if string.sub(name, 1, 3) ~= string.sub(own, 1, 3) then others = others + 1 end
    longest = math.max(longest, left)
  end
end
table.insert(alive, index + 1, own .. struct.pack('<I6', now + ttl))
redis.call('SET', KEYS[1], table.concat(alive), 'PX', longest)
return { tostring(#alive), tostring(index), tostring(others) }
