-- For wrk: the token, and the figures as one JSON line. The token is not an argument: ps shows those.
local token = os.getenv("VMMD_TOKEN")
if token then
    wrk.headers["Authorization"] = "Bearer " .. token
end

function done(summary, latency, requests)
    local e = summary.errors
    io.stderr:write(string.format(
        '{"per_s":%.0f,"p50_ms":%.3f,"p99_ms":%.3f,"errors":%d}\n',
        summary.requests * 1e6 / summary.duration, latency:percentile(50) / 1000,
        latency:percentile(99) / 1000, e.connect + e.read + e.write + e.status + e.timeout))
end
