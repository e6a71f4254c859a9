-- Returns the document that all instances share, or replaces it. (It holds the overrides: this script does not read them.)
--
-- KEYS   the document; its first 16 bytes are its revision, which differs between any two documents
-- ARGV   the revision that the caller knows: '' if there was no document, '-' if it does not know; the document that shall
--        take its place, or '' to read
-- Reply  the time, and one of
--        'same': the document has the revision that the caller knows
--        'other' and the document, or '': it has another one, and was not replaced
--        'written' and why the other instances were not notified, or ''
--        'denied' and why: the caller's user may not do this
--
-- What is denied is no error of the call: the server serves checks all the same.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + (clock[2] - clock[2] % 1000) / 1000
local raw = redis.pcall('GET', KEYS[1])
if type(raw) == 'table' then return { now, 'denied', raw.err } end
raw = raw or ''
if string.sub(raw, 1, 16) ~= ARGV[1] then return { now, 'other', raw } end
if ARGV[2] == '' then return { now, 'same' } end
local set = redis.pcall('SET', KEYS[1], ARGV[2])
if set.err then return { now, 'denied', set.err } end
local published = redis.pcall('PUBLISH', KEYS[1], string.sub(ARGV[2], 1, 16))
return { now, 'written', type(published) == 'table' and published.err or '' }
