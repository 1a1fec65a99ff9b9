#!/usr/bin/python3
"""Whether the time of a refused sign-in tells who exists: T7 of docs/security.md.

Wrong passwords for a user who has one, for one who is disabled, for one who has none, and for nobody, by turns in an order drawn anew each time,
over the unix socket, where no limit keeps guesses back. Welch's t of each kind against the first, of the samples below a few quantiles of all of them (what
is slower was disturbed by others), as in "dudect"; the largest |t| is told. Users are made before and removed afterwards.

usage: bench/sign_in.py SOCKET N     prints {"t": the largest |t|, "ms": {kind: median...}, "n": N}
"""
import http.client
import json
import math
import random
import socket
import statistics
import sys
import time

CROPS = (0.5, 0.75, 0.9, 1.0)
PASSWORD = "not the right one"


class Local(http.client.HTTPConnection):
    """One kept connection to api.sock."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Service:
    def __init__(self, path):
        self.connection = Local(path)

    def call(self, method, path, body, expected):
        text = json.dumps(body) if body is not None else None
        self.connection.request(method, "/api/v1" + path, text, {"Content-Type": "application/json"} if text else {})
        reply = self.connection.getresponse()
        said = reply.read()
        if reply.status != expected:
            raise RuntimeError(f"{method} {path}: {reply.status} {said[:200]!r}")

    def refused_ms(self, user):
        """How long the refusal takes, as a client sees it."""
        begin = time.perf_counter_ns()
        self.call("POST", "/session", {"user": user, "password": PASSWORD}, 401)
        return (time.perf_counter_ns() - begin) / 1e6


def make_users(service):
    """Names of the same length, by kind."""
    mark = f"{random.getrandbits(32):08x}"
    users = {kind: f"timing-{mark}-{i}" for i, kind in enumerate(("known", "disabled", "no-password", "nobody"))}
    for kind in ("known", "disabled", "no-password"):
        service.call("POST", "/users", {"name": users[kind], "role": "viewer", "disabled": kind == "disabled"}, 201)
    for kind in ("known", "disabled"):
        service.call("POST", f"/users/{users[kind]}/actions/set-password", {"password": "correct horse battery"}, 204)
    return users


def welch(a, b):
    spread = statistics.variance(a) / len(a) + statistics.variance(b) / len(b)
    return (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(spread) if spread else 0.0


def largest_t(samples):
    """Of all kinds against "known", at all crops."""
    everything = sorted(x for kind in samples.values() for x in kind)
    worst = 0.0
    for crop in CROPS:
        limit = everything[min(len(everything) - 1, int(len(everything) * crop))]
        kept = {kind: [x for x in all_ms if x <= limit] for kind, all_ms in samples.items()}
        for kind, all_ms in kept.items():
            if kind != "known" and len(all_ms) > 30 and len(kept["known"]) > 30:
                worst = max(worst, abs(welch(kept["known"], all_ms)))
    return worst


def main():
    service, n = Service(sys.argv[1]), int(sys.argv[2])
    users = make_users(service)
    samples = {kind: [] for kind in users}
    try:
        for i in range(n + 10):
            for kind in random.sample(list(users), len(users)):
                taken = service.refused_ms(users[kind])
                if i >= 10: # it is warm
                    samples[kind].append(taken)
    finally:
        for kind, name in users.items():
            if kind != "nobody":
                service.call("DELETE", f"/users/{name}", None, 204)
    print(json.dumps({"t": largest_t(samples), "n": n,
                      "ms": {kind: statistics.median(all_ms) for kind, all_ms in samples.items()}}))


if __name__ == "__main__":
    main()
