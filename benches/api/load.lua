-- What wrk sends, and how it tells what it found. Arguments: the method, a file of paths, the value of Authorization
-- (or ""), a body (or "") in which @ stands for a number that is never used twice, and the number to begin with.
local paths, body, turn = {}, "", 0

function init(args)
  wrk.method = args[1]
  for path in io.lines(args[2]) do paths[#paths + 1] = path end
  if args[3] ~= "" then wrk.headers["Authorization"] = args[3] end
  body, turn = args[4], tonumber(args[5])
  if body ~= "" then wrk.headers["Content-Type"] = "application/json" end
end

function request()
  turn = turn + 1
  local content = nil
  if body ~= "" then content = (string.gsub(body, "@", tostring(turn))) end
  return wrk.format(nil, paths[turn % #paths + 1], nil, content)
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed.status,
    failed.connect + failed.read + failed.write + failed.timeout))
end
