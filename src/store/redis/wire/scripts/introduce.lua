-- Records what an instance reports of itself.
--
-- KEYS   where it reports
-- ARGV   the text, and for how many milliseconds it holds
-- Reply  'ok', or why the caller's user may not do this: that is no error of the call, as the server serves checks all the same

local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return { set.err or 'ok' }
