#!/usr/bin/python3
"""What 10,000 definitions cost: see docs/benchmarks.md. Prints {"list_p99": ms, "page_p99": ms, "get": ratio, "get_ms":
[few, many, few again], "rss": MiB, "growth": percent, "cycles_s": seconds}.

  list    GET /vms?page_size=1000 with 1,000 definitions, and page after page with 10,000
  get     GET /vms/{id} on one connection, ids by turns, with 10 definitions, with 10,000, and with 10 again
  rss     of main with 10,000, when all pages were read; and after 5,000 times create, start, stop and delete of a VM
          without a guest

The first two are medians of the p99 of seven rounds.

usage: bench/scale.py MAIN_PID [MANY [CYCLES]]
"""
import json
import random
import statistics
import sys
import time
from urllib.parse import quote

from client import Api
from define import CLIENTS, Vmmd, names, together
from wire import Wire

FEW, SOME, GETS, LISTS, ROUNDS = 10, 1000, 5000, 200, 7


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


def by_rounds(times):
    """The median of the rounds' p99; the first round warms caches."""
    return statistics.median([p99(times()) for _ in range(ROUNDS + 1)][1:])


def timed(wire, requests):
    """Milliseconds of each."""
    times = []
    for request in requests:
        begin = time.monotonic()
        wire.send(request)
        times.append((time.monotonic() - begin) * 1000)
    return times


def get_ms():
    """Of one GET: the tenth percentile, which is what it takes when nothing else gets between."""
    wire, order = Wire(), random.Random(1)
    ids = pages(wire)[1]
    requests = {vm: Wire.request("GET", f"/vms/{vm}") for vm in ids}
    chosen = [requests[order.choice(ids)] for _ in range(GETS)]
    timed(wire, chosen[:GETS // 4])
    return sorted(timed(wire, chosen))[GETS // 10]


def pages(wire):
    """Reads all pages once: their times, and the ids."""
    times, ids, token = [], [], ""
    while token is not None:
        request = Wire.request("GET", "/vms?page_size=1000" + (f"&page_token={quote(token)}" if token else ""))
        begin = time.monotonic()
        body = wire.send(request)
        times.append((time.monotonic() - begin) * 1000)
        page = json.loads(body)
        ids += [vm["id"] for vm in page["items"] if vm["name"].startswith("define-")]
        token = page["next_page_token"]
    return times, ids


def rss_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS:"))


def cycle(api, name):
    """What the life of a VM is: four operations."""
    api.call("POST", "/vms", {"name": name, "backend": "fake", "nics": []}, wait_s=60)
    api.call("POST", f"/vms/{name}/actions/start", {}, wait_s=60)
    api.call("POST", f"/vms/{name}/actions/stop", {}, wait_s=60)
    api.call("DELETE", f"/vms/{name}", wait_s=60)


def cycles(n):
    apis = [Api() for _ in range(CLIENTS)]
    taken = together(lambda k: [cycle(apis[k], f"cycle-{k}") for _ in range(n // CLIENTS)])
    for api in apis:
        api.connection.close()
    return taken


def measure(pid, many, n_cycles):
    out = {}
    few, some, rest = names(many)[:FEW], names(many)[FEW:SOME], names(many)[SOME:]
    made = [Vmmd(few), Vmmd(some), Vmmd(rest)]
    made[0].define()
    gets = [get_ms()]
    made[1].define()
    wire, request = Wire(), Wire.request("GET", "/vms?page_size=1000")
    out["list_p99"] = by_rounds(lambda: timed(wire, [request] * LISTS))
    made[2].define()
    wire = Wire()
    out["page_p99"] = by_rounds(lambda: [ms for _ in range(LISTS // 10) for ms in pages(wire)[0]])
    gets.append(get_ms())
    out["rss"] = rss_mib(pid)
    cycles(n_cycles // 5)  # caches, pools of memory and threads are as large as they get
    before = rss_mib(pid)
    out["cycles_s"] = cycles(n_cycles)
    out["growth"] = (rss_mib(pid) / before - 1) * 100
    made[2].remove()
    made[1].remove()
    gets.append(get_ms())
    made[0].remove()
    out["get_ms"] = gets
    out["get"] = gets[1] / min(gets[0], gets[2])
    return out


def main(pid, many="10000", n_cycles="5000"):
    print(json.dumps({key: [round(v, 3) for v in value] if isinstance(value, list) else round(value, 3)
                      for key, value in measure(pid, int(many), int(n_cycles)).items()}))


try:
    main(*sys.argv[1:])
except (RuntimeError, OSError) as error:
    sys.exit(f"scale: {error}")
