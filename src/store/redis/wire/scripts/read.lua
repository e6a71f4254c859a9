-- Returns counters as they are.
--
-- KEYS   the counters
-- ARGV   only if a test drives the clock, '=' and its time; then the deadline in milliseconds of this server's clock
-- Reply  the time; then each counter, or ''. Only the time: the deadline has passed.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
if now > tonumber(ARGV[#ARGV]) then return { now } end
if #ARGV > 1 then now = tonumber(string.sub(ARGV[1], 2)) end
local reply = { now }
for i = 1, #KEYS do
  local raw = redis.pcall('GET', KEYS[i])
  if type(raw) == 'table' then
    if string.sub(raw.err, 1, 9) ~= 'WRONGTYPE' then return raw end
    raw = false
  end
  reply[i + 1] = raw or ''
end
return reply
