#!/usr/bin/python3 -I
"""Stands in QEMU's place, in its jail, and lies. How it lies is said by the memory that its VM has: 64 MiB is no lie
(the real QEMU takes over), each 2 MiB more one of LIES. What it is asked for its version the real one answers."""
import array
import json
import os
import socket
import sys
import threading
import time

REAL = "/usr/bin/qemu-system-x86_64"
HUGE = (1 << 63) - 1


def number_after(option, key):
    """Of "-m size=N…" and the like: the first argument of that option that has the key."""
    for name, value in zip(sys.argv, sys.argv[1:]):
        if name == option and key in value:
            return int("".join(c for c in value.split(key)[1].split(",")[0] if c.isdigit()))
    return -1


class Monitor:
    def __init__(self, fd):
        self.sock = socket.socket(fileno=fd)
        self.text = b""
        self.whole = threading.Lock()  # a line is sent as one
        self.named = {}  # descriptors that were handed over
        self.status = "prelaunch"

    def say(self, value):
        self.raw(json.dumps(value).encode() + b"\r\n")

    def raw(self, data):
        with self.whole:
            self.sock.sendall(data)

    def event(self, name, **data):
        self.say({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})

    def hear(self):
        """The next request; a descriptor that came with it is kept under its name."""
        fds = array.array("i")
        while b"\n" not in self.text:
            data, control, _, _ = self.sock.recvmsg(65536, 1024)
            if not data:
                sys.exit(0)
            for _, _, content in control:
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
            self.text += data
        line, self.text = self.text.split(b"\n", 1)
        request = json.loads(line)
        if request["execute"] == "getfd" and fds:
            self.named[request["arguments"]["fdname"]] = fds[0]
        return request

    def answer(self, request, value):
        self.say({"return": value, "id": request["id"]})

    def behave(self, request):
        """As a QEMU would, as far as main asks."""
        command, arguments = request["execute"], request.get("arguments", {})
        if command in ("cont", "stop"):
            self.status = "running" if command == "cont" else "paused"
            self.event("RESUME" if command == "cont" else "STOP")
        if command == "quit":
            self.answer(request, {})
            sys.exit(0)
        self.answer(request, {
            "query-status": {"status": self.status, "running": self.status == "running", "singlestep": False},
            "query-version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""},
            "query-kvm": {"enabled": False, "present": True},
            "query-memory-size-summary": {"base-memory": memory},
            "query-block": [{"device": "", "qdev": "diskdev0", "io-status": "ok", "inserted": {
                "node-name": "disk0", "drv": "raw", "image": {"virtual-size": 1 << 20}}}],
            "query-named-block-nodes": [], "query-jobs": [], "query-block-jobs": [], "query-fdsets": [], "qom-list": [],
            "query-migrate": {},
            "add-fd": {"fdset-id": 7, "fd": 9},
        }.get(command, {}))

    def serve(self, own=lambda request: False):
        while True:
            request = self.hear()
            if not own(request):
                self.behave(request)


# ---- the lies ----

def greets_with_garbage(monitor):
    monitor.raw(b"SSH-2.0-OpenSSH\r\n")
    time.sleep(60)


def goes_mad(monitor):
    """When it is to stop."""
    def own(request):
        if request["execute"] == "stop":
            monitor.raw(b'{"event":"STOP","event":"STOP"}\n')
        return request["execute"] == "stop"
    monitor.serve(own)


def says_that_it_has_ended(monitor):
    """In the worker's name; what it says on the serial port shows that it lives. It ends when it is to go on."""
    def own(request):
        if request["execute"] == "cont" and monitor.status == "paused":
            os._exit(3)
        if request["execute"] == "cont":
            monitor.behave(request)
            monitor.event("WORKER_EXITED", cause="guest-shutdown", wstatus=0, qemu_log="\x1b[31mred", boot_id="x")
            monitor.event("WORKER_LOG_FAILED")
            monitor.event("WORKER_PIVOTED", outcome="committed")
            serial().sendall(b"I live\r\n")
            return True
        return False
    monitor.serve(own)


def without_end(say, data):
    def run():
        while True:
            say(data)
    threading.Thread(target=run, daemon=True).start()


def floods(monitor):
    """Events, answers, descriptors, console, log: as much as is taken of each; and answers what it is asked."""
    lines = b"".join(json.dumps(e).encode() + b"\n" for e in (
        {"event": "RESUME"}, {"event": "STOP"}, {"event": "RESET"},
        {"event": "JOB_STATUS_CHANGE", "data": {"id": "x" * 3000, "status": "pending"}}, {"event": "x" * 4000},
        {"return": [[[[]]]], "id": "w1.1"}, {"event": "BLOCK_IO_ERROR", "data": 7}, {"event": "WATCHDOG", "data": []}))
    pair = socket.socketpair()

    def with_descriptors(data):
        with monitor.whole:
            socket.send_fds(monitor.sock, [data[:1]], [pair[0].fileno()] * 50)
            monitor.sock.sendall(data[1:])

    while monitor.status == "prelaunch":
        monitor.behave(monitor.hear())
    without_end(with_descriptors, lines)
    without_end(serial().sendall, b"flood " * 2000)
    without_end(lambda data: os.write(2, data), b"flood\x1b[31m " * 2000)
    monitor.serve()


def never_answers(monitor):
    while monitor.status == "prelaunch":
        monitor.behave(monitor.hear())
    while True:
        monitor.hear()


def has_a_disk_without_end(monitor):
    def own(request):
        if request["execute"] != "query-block":
            return False
        monitor.answer(request, [{"device": "", "qdev": "diskdev0", "inserted": {
            "node-name": "disk0", "drv": "raw", "image": {"virtual-size": HUGE}}}])
        return True
    monitor.serve(own)


def has_memory_without_end(monitor):
    def own(request):
        if request["execute"] != "query-memory-size-summary":
            return False
        monitor.answer(request, {"base-memory": 1 << 40})
        return True
    monitor.serve(own)


def writes_garbage_for_its_memory(monitor):
    def own(request):
        if request["execute"] != "migrate":
            return False
        monitor.answer(request, {})
        try:
            os.write(monitor.named["memory"], os.urandom(1 << 16))
        except OSError:
            pass  # whoever reads it has had enough
        monitor.event("MIGRATION", status="completed")
        monitor.status = "postmigrate"
        return True
    monitor.serve(own)


LIES = [None, greets_with_garbage, says_that_it_has_ended, floods, never_answers, has_a_disk_without_end,
        has_memory_without_end, writes_garbage_for_its_memory, goes_mad]


def serial():
    return socket.socket(fileno=os.dup(number_after("-chardev", "id=ser0,fd=")))


memory = number_after("-m", "size=")
lie = (memory - (64 << 20)) >> 21
if memory < 0 or not 0 < lie < len(LIES):
    os.execv(REAL, [REAL] + sys.argv[1:])
wire = Monitor(number_after("-chardev", "id=qmp0,fd="))
if LIES[lie] is not greets_with_garbage:
    wire.say({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}, "capabilities": []}})
LIES[lie](wire)
