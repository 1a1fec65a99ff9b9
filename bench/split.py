#!/usr/bin/python3
"""split.py PROGRAM IMAGE ROUNDS: vmmd-split fed with the stream of a guest of 1 GiB, every page of it random, through a
socket pair. Prints {"core": [GB/s per round], "rate": [GB/s per round], "rss": [MiB per round]}: the memory's bytes by the time that
its core worked, system calls included; by the time from the first byte sent to the report, which has the sender in it;
and the highest RSS of the process."""
import json
import os
import socket
import struct
import sys
import time

RAM, PAGE, BATCH = 1 << 30, 4096, 256
RECORD = 8 + PAGE
STREAM, IMAGE, REPORT = 3, 4, 5  # enum split_fd


def text(word):
    return bytes([len(word)]) + word


def head():
    return b"".join((
        b"QEVM", struct.pack(">IBI", 3, 7, 2), b"pc",
        b"\5" + text(b"configuration/capabilities"), struct.pack(">II", 1, 1), text(b"x-ignore-shared"),
        b"\1" + struct.pack(">I", 2) + text(b"ram") + struct.pack(">II", 0, 4),
        struct.pack(">Q", RAM | 4) + text(b"pc.ram") + struct.pack(">QQ", RAM, 0),
        struct.pack(">QBI", 0x10, 0x7e, 2), b"\2" + struct.pack(">I", 2)))


def tail():
    about = b'{"page_size": 4096}'
    return struct.pack(">QBI", 0x10, 0x7e, 2) + b"\4devices\0\6" + struct.pack(">I", len(about)) + about


def send_pages(sock):
    """The first page names its block, the others go on from it."""
    batch = bytearray(BATCH * RECORD)
    for i in range(BATCH):
        batch[i * RECORD + 8:(i + 1) * RECORD] = os.urandom(PAGE)
    sock.sendall(struct.pack(">Q", 8) + text(b"pc.ram") + batch[8:RECORD])
    for first in range(1, RAM // PAGE, BATCH):
        count = min(BATCH, RAM // PAGE - first)
        for i in range(count):
            struct.pack_into(">Q", batch, i * RECORD, (first + i) * PAGE | 0x28)
        sock.sendall(memoryview(batch)[:count * RECORD])


def start(program, fds):
    child = os.fork()
    if child:
        return child
    high = [os.dup2(fd, 40 + i) for i, fd in enumerate(fds)]
    for number, fd in zip((STREAM, IMAGE, REPORT), high):
        os.dup2(fd, number, inheritable=True)
    os.execv(program, [program, str(RAM)])


def high_water_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def measure(program, path):
    ours, its = socket.socketpair()
    reading, writing = os.pipe()
    image = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    child = start(program, (its.fileno(), image, writing))
    its.close()
    os.close(writing)
    began = time.monotonic()
    ours.sendall(head())
    send_pages(ours)
    rss_mib = high_water_kib(child) / 1024
    ours.sendall(tail())
    ours.close()
    report = os.read(reading, 192)
    took = time.monotonic() - began
    _, status, usage = os.wait4(child, 0)
    cpu_s = usage.ru_utime + usage.ru_stime
    os.close(reading)
    os.close(image)
    os.unlink(path)
    outcome, held = struct.unpack_from("<4xI8xQ", report)
    if status or outcome or held != RAM:
        sys.exit(f"vmmd-split failed: status {status}, {report[32:].decode().strip(chr(0))}")
    return RAM / 1e9 / took, rss_mib, RAM / 1e9 / cpu_s


def main():
    program, path, rounds = sys.argv[1:]
    found = [measure(program, path) for _ in range(int(rounds))]
    print(json.dumps({"rate": [f[0] for f in found], "rss": [f[1] for f in found], "core": [f[2] for f in found]}))


main()
