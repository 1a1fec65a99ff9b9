"""A guest that does nothing but write, and how long it had to wait: seen from outside, by when its words come.

The guest is one boot sector: sector 1 of each of its disks in turn, and a '.' on the serial console after each write that
the disk has acknowledged. SeaBIOS takes none of virtio-blk's features, so QEMU makes each write durable before it says so."""
import contextlib
import glob
import os
import statistics
import struct
import threading
import time

SECTOR = 512
HALT = b"\xfa\xf4\xeb\xfd"  # cli; again: hlt; jmp again
WRITER = bytes.fromhex(
    "fa 31c0 8ed8 8ec0 8ed0 bc007c fb fc"  # segments 0, stack below the sector
    "c606007e80"      # first: drive = 0x80
    "b80043 8a16007e be447c cd13"  # next: extended write (int 0x13) of 'packet' to drive
    "7216"            # failed? then 'E', and stop
    "b02e e81900"     # '.'
    "fe06007e"        # drive + 1
    "a0007e 2a067504 3c80 72de ebd7"  # as many as the BIOS counts: next, else first
    "b045 e80300 f4 ebfd"
    "baf803 ee c3"    # put: al to COM1
    "1000 0100 0080 0000 0100000000000000")  # packet: one sector from 0x8000 to sector 1


def boot_sector(code):
    return code.ljust(510, b"\0") + b"\x55\xaa"


class Watch:
    """When the serial console of a VM got its characters: looks at the end of the log (core/base/ringlog.h) a thousand
    times a second, before all others when the system lets it."""

    END_AT, LOOK_S = 16, 0.001

    def __init__(self, state_dir, uuid):
        self.log = os.open(f"{vm_dir(state_dir, uuid)}/serial.log", os.O_RDONLY)
        self.seen = []  # (time, characters so far)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        last = self.end()
        while not self.over.is_set():
            end = self.end()
            if end != last:
                self.seen.append((time.time(), end))
            last = end
            time.sleep(self.LOOK_S)

    def end(self):
        return struct.unpack("=Q", os.pread(self.log, 8, self.END_AT))[0]

    def close(self):
        self.over.set()
        self.thread.join()
        os.close(self.log)

    def await_words(self, n=50, deadline_s=60):
        begin = time.time()
        while len(self.seen) < n:
            if time.time() - begin > deadline_s:
                raise RuntimeError("the guest does not write")
            time.sleep(0.01)

    def gap_ms(self, begin, end):
        """The longest silence that touches this time."""
        times = [at for at, _ in self.seen]
        gaps = [b - a for a, b in zip(times, times[1:]) if b >= begin and a <= end]
        return max(gaps, default=end - begin) * 1000

    def gaps_ms(self, begin, end, length):
        """The same for each window of that length in a time in which nothing happened."""
        windows = int((end - begin) / length)
        return [self.gap_ms(begin + i * length, begin + (i + 1) * length) for i in range(windows)]

    def per_s(self, begin, end):
        """Characters, that is writes, a second."""
        part = [(at, n) for at, n in self.seen if begin <= at <= end]
        return (part[-1][1] - part[0][1]) / (end - begin) if part else 0


def vm_dir(state_dir, uuid):
    found = glob.glob(f"{state_dir}/**/{uuid}/serial.log", recursive=True)
    if not found:
        raise RuntimeError(f"VM {uuid} has no serial log in {state_dir}")
    return os.path.dirname(found[0])


def p95(values):
    return statistics.quantiles(values, n=20, method="inclusive")[18]
