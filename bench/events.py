"""bench/events.py VM SUBSCRIBERS ROUNDS: follows events with many connections over TLS, changes the VM's notes
ROUNDS times, and prints {"p50_ms", "p99_ms", "max_ms", "n"}: from the time that the event says it was made at
(before its transaction is on the disk) to its bytes being read here. Reading and decrypting all of them on one
thread is part of it."""
import json
import os
import selectors
import socket
import ssl
import sys
import time
from datetime import datetime
from urllib.parse import urlsplit

from client import Api

DEADLINE_S = 30


def follow(url, context, source):
    """One event stream; its head is not read yet."""
    raw = socket.create_connection((url.hostname, url.port), timeout=DEADLINE_S, source_address=(source, 0))
    tls = context.wrap_socket(raw, server_hostname=url.hostname)
    tls.sendall((f"GET /api/v1/events?types=vm.changed HTTP/1.1\r\nHost: {url.hostname}\r\n"
                 f"Authorization: Bearer {os.environ['VMMD_TOKEN']}\r\n\r\n").encode())
    while b"retry:" not in tls.recv(65536):
        pass
    tls.setblocking(False)
    return tls


def made_at(text):
    """When the last event in 'text' says that it was made, in s since 1970; None without one."""
    for line in reversed(text.split(b"\n")):
        if line.startswith(b"data: {"):
            at = json.loads(line[6:])["at"]
            return datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    return None


def hear(selector, n):
    """Delays in ms until all 'n' streams have told of one event."""
    delays, end = [], time.time() + DEADLINE_S
    while len(delays) < n:
        if time.time() > end:
            raise RuntimeError(f"{n - len(delays)} streams did not tell within {DEADLINE_S} s")
        for key, _ in selector.select(1):
            try:
                text = key.fileobj.recv(65536)
            except ssl.SSLWantReadError:
                continue
            now, at = time.time(), made_at(text)
            if not text:
                raise RuntimeError("a stream ended")
            if at is not None:
                delays.append((now - at) * 1000)
    return delays


def main(vm, subscribers, rounds):
    url = urlsplit(os.environ["VMMD_URL"])
    context = ssl.create_default_context(cafile=os.environ["VMMD_CACERT"])
    selector, api, delays = selectors.DefaultSelector(), Api(), []
    for i in range(subscribers):
        selector.register(follow(url, context, f"127.0.0.{10 + i // 25}"), selectors.EVENT_READ)
    for i in range(rounds):
        api.call("PATCH", f"/vms/{vm}", {"notes": f"round {i}"})
        delays += hear(selector, subscribers)
    delays.sort()
    print(json.dumps({"p50_ms": delays[len(delays) // 2], "p99_ms": delays[len(delays) * 99 // 100],
                      "max_ms": delays[-1], "n": len(delays)}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
