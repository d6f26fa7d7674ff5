-- One exchange of a node: it is alive; these are its wishes; what each may use; and where others have too few.
-- ARGV: prefix, node, seconds that a node stays alive, seconds that a new Redis only confirms, seconds that a shortage lasts,
--       then of each workspace: id, used, keep, short (2: of calls, 1: has none in hand, 0), most
local prefix, node = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local nodes, shorts = prefix .. 'nodes', prefix .. 'short'

local before = redis.call('ZSCORE', nodes, node)
local lapsed = (not before or tonumber(before) <= now) and 1 or 0
redis.call('ZADD', nodes, now + ARGV[3] * 1000, node)
redis.call('ZREMRANGEBYSCORE', nodes, '-inf', '(' .. now)
local alive = {}
for _, name in ipairs(redis.call('ZRANGE', nodes, 0, -1)) do alive[name] = true end

-- After a loss of what Redis knew, nodes say what they hold before anybody gets more.
redis.call('SET', prefix .. 'since', now, 'NX')
local confirming = now - redis.call('GET', prefix .. 'since') < ARGV[4] * 1000

redis.call('ZREMRANGEBYSCORE', shorts, '-inf', '(' .. now)
local wanting, worst = {}, {}
for _, member in ipairs(redis.call('ZRANGE', shorts, 0, -1)) do
  local name, level, id = string.match(member, '^([^|]*)|(%d)|(.*)$')
  if name ~= node and alive[name] then
    wanting[id] = (wanting[id] or 0) + 1
    worst[id] = math.max(worst[id] or 0, tonumber(level))
  end
end

local granted = {}
for at = 6, #ARGV, 5 do
  local id, used, keep = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local short, most = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local key, others = prefix .. 'lease:' .. id, 0
  local held = redis.call('HGETALL', key)
  for n = 1, #held, 2 do
    if not alive[held[n]] then redis.call('HDEL', key, held[n])
    elseif held[n] ~= node then others = others + held[n + 1] end
  end
  local room, count = math.max(0, most - others), wanting[id] or 0
  local got = room
  if confirming or (count > 0 and short < (worst[id] or 0)) then got = keep
  elseif count > 0 then got = keep + math.ceil((room - keep) / (count + 1)) end
  got = math.max(used, math.min(got, room))
  redis.call('HSET', key, node, got)
  redis.call('EXPIRE', key, 86400)
  for level = 1, 2 do
    local mark = node .. '|' .. level .. '|' .. id
    if short == level and got <= used then redis.call('ZADD', shorts, now + ARGV[5] * 1000, mark)
    else redis.call('ZREM', shorts, mark) end
  end
  granted[#granted + 1] = got
end

local elsewhere = {}
for id, level in pairs(worst) do
  elsewhere[#elsewhere + 1] = id
  elsewhere[#elsewhere + 1] = level
end
return {lapsed, granted, elsewhere, confirming and 1 or 0}
