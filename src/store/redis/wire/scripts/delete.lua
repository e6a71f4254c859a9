-- Deletes counters.
--
-- KEYS   the counters
-- ARGV   the deadline in milliseconds of this server's clock, behind what a test that drives the clock sends
-- Reply  the time and the number of keys. Only the time: the deadline has passed, and nothing was deleted.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
if now > tonumber(ARGV[#ARGV]) then return { now } end
for i = 1, #KEYS do
  -- An empty text counts as no counter. Unlike DEL, this needs no command that checks do not need.
  redis.call('SET', KEYS[i], '', 'PX', 1)
end
return { now, #KEYS }
