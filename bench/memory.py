#!/usr/bin/python3
"""Snapshots with memory: what their guest notices, how long they take, and how soon it goes on after a revert.

  snapshot  the longest silence of a guest with 1 GiB, 300 MiB of it full, that changes a page a millisecond, while one is
            taken; the same with 4 GiB and 2 GiB; how long one takes until it is on the disk, against
            'virsh snapshot-create-as --memspec' and fsync of its files, by turns
  revert    of a VM that is off, from the request until its guest's next word; 4 GiB against 256 MiB; against 'virsh restore'

usage: bench/memory.py PART ROUNDS VAR_DIR [LIBVIRT_URI]     prints {FIGURE: value...}; what was measured on stderr
"""
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

from client import Api
from filled import filled
from writer import Watch, boot_sector, p95

MIB, GIB = 1 << 20, 1 << 30
WINDOW_S = 0.3
SIZES = {"small": (256 * MIB, 64 * MIB), "1g": (GIB, 300 * MIB), "4g": (4 * GIB, 2 * GIB)}


def say(text):
    print("memory: " + text, file=sys.stderr)


def timed_ms(work):
    begin = time.monotonic()
    work()
    return (time.monotonic() - begin) * 1000


def put_sector(path, code):
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        file.write(boot_sector(code))
        file.truncate(64 * MIB)
        os.fsync(file.fileno())


class Machine:
    """A PC whose guest has filled part of its memory; it runs."""

    def __init__(self, api, var, name, size):
        self.api, self.name = api, name
        memory, full = SIZES[size]
        made = api.call("POST", "/vms", {"name": name, "machine": "pc", "accel": "tcg", "memory_bytes": memory, "nics": [],
                                         "video": {"model": "none"}, "disks": [{"size_bytes": 64 * MIB, "format": "raw", "pool": "main"}]},
                        wait_s=60)
        files = api.call("GET", f"/pools/main/files?filter=vm%3D%3D{made['id']}")["items"]
        pool = api.call("GET", "/pools/main")["id"]
        put_sector(f"{var}/pools/main/{pool}/{files[0]['name']}", filled(full))
        self.act("start")
        self.watch = Watch(f"{var}/state", made["id"])
        self.watch.await_words()

    def act(self, verb, arguments=None):
        return self.api.call("POST", f"/vms/{self.name}/actions/{verb}", arguments or {}, wait_s=110)

    def snapshot(self, name):
        """When it began and ended, and what it says of itself."""
        begin = time.time()
        done = self.api.call("POST", f"/vms/{self.name}/snapshots", {"name": name, "consistency": "running"}, wait_s=110)
        if done["state"] != "succeeded":
            raise RuntimeError(f"the snapshot {done['state']}: {(done['error'] or {}).get('detail')}")
        end = time.time()
        return begin, end, self.api.call("GET", f"/snapshots/{done['result']['snapshot']}")

    def next_word_ms(self, begin):
        while True:
            for at, _ in self.watch.seen[-2000:]:
                if at > begin:
                    return (at - begin) * 1000
            if time.time() - begin > 60:
                raise RuntimeError("the guest did not go on")
            time.sleep(0.001)

    def close(self):
        self.watch.close()
        with contextlib.suppress(RuntimeError):  # it was off
            self.act("stop")
        self.api.call("DELETE", f"/vms/{self.name}", wait_s=60)


# ---- libvirt's side ----

DOMAIN = """<domain type='qemu'><name>bench-memory</name><memory unit='b'>{memory}</memory><vcpu>1</vcpu>
  <os><type machine='pc'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>
      <source file='{disk}'/><target dev='hda' bus='ide'/></disk>
    <serial type='file'><source path='{serial}'/></serial>
    <memballoon model='none'/><controller type='usb' model='none'/>
  </devices></domain>"""


class Peer:
    """A domain of libvirt's with the same guest."""

    def __init__(self, var, uri, size):
        self.folder, self.uri, self.number = f"{var}/peer", uri, 0
        memory, full = SIZES[size]
        os.makedirs(self.folder, exist_ok=True)
        self.serial, disk = f"{self.folder}/serial", f"{self.folder}/memory.raw"
        put_sector(disk, filled(full))
        with open(f"{self.folder}/memory.xml", "w", encoding="utf-8") as file:
            file.write(DOMAIN.format(memory=memory, disk=disk, serial=self.serial))
        self.virsh("create", f"{self.folder}/memory.xml")
        self.await_words(50)
        self.virsh("suspend", "bench-memory")

    def virsh(self, *words):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"virsh {words[0]}: {done.stderr.strip()}")

    @contextlib.contextmanager
    def alone(self):
        """It runs only while its turn is: the machine may have no processor to spare."""
        self.virsh("resume", "bench-memory")
        try:
            yield
        finally:
            self.virsh("suspend", "bench-memory")

    def await_words(self, n):
        deadline = time.time() + 60
        while not os.path.exists(self.serial) or os.path.getsize(self.serial) < n:
            if time.time() > deadline:
                raise RuntimeError("libvirt's guest does not write")
            time.sleep(0.001)

    def snapshot_ms(self):
        self.number += 1
        with self.alone():
            return timed_ms(self.snapshot)

    def snapshot(self):
        memory, disk = (f"{self.folder}/{self.number}.{kind}" for kind in ("memory", "qcow2"))
        self.virsh("snapshot-create-as", "bench-memory", f"s{self.number}", "--memspec", f"file={memory},snapshot=external",
                   "--diskspec", f"hda,snapshot=external,file={disk}")
        for path in (memory, disk):
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        os.unlink(memory)

    def restore_ms(self):
        with self.alone():
            return self.save_and_restore_ms()

    def save_and_restore_ms(self):
        saved = f"{self.folder}/saved"
        self.virsh("save", "bench-memory", saved)
        before = os.path.getsize(self.serial) if os.path.exists(self.serial) else 0
        begin = time.monotonic()
        going = subprocess.Popen(["virsh", "-q", "-c", self.uri, "restore", saved])
        while not os.path.exists(self.serial) or os.path.getsize(self.serial) in (0, before):
            if going.poll():
                raise RuntimeError("virsh restore failed")
            time.sleep(0.001)
        took = (time.monotonic() - begin) * 1000
        going.wait()
        os.unlink(saved)
        return took

    def close(self):
        with contextlib.suppress(RuntimeError):
            self.virsh("destroy", "bench-memory")
        with contextlib.suppress(RuntimeError):
            self.virsh("undefine", "bench-memory", "--snapshots-metadata")


@contextlib.contextmanager
def closing(made):
    try:
        yield made
    finally:
        made.close()


# ---- snapshot ----

def gaps(api, var, rounds, size, also=None):
    around, noise, times, said = [], [], [], []
    with closing(Machine(api, var, f"bench-memory-{size}", size)) as vm:
        for number in range(rounds):
            begin = time.time()
            time.sleep(1.5)
            noise += vm.watch.gaps_ms(begin, time.time(), WINDOW_S)
            begin, end, told = vm.snapshot(f"s{number}")
            time.sleep(0.1)
            around.append(vm.watch.gap_ms(begin, end))
            times.append((end - begin) * 1000)
            said.append(told["memory"]["pause_us"] / 1000)
            if told["memory"]["way"] != "background":
                raise RuntimeError("it was not taken in the background: " + str(told["memory"].get("note")))
            if also:
                vm.act("pause")
                also()
                vm.act("resume")
            api.call("DELETE", f"/snapshots/{told['id']}", wait_s=110)
    say(f"snapshot, {size}: silences, ms {[round(ms, 1) for ms in around]}, the VM stood still {said}; it took "
        f"{[round(ms) for ms in times]}; silences without p50 {statistics.median(noise):.1f}, p95 {p95(noise):.1f}")
    return around, times


def snapshot(api, var, rounds, uri):
    theirs, found = [], {}
    rounds = min(rounds, 5)
    peer = Peer(var, uri, "1g") if uri else None
    try:
        around, times = gaps(api, var, rounds, "1g", (lambda: theirs.append(peer.snapshot_ms())) if peer else None)
    finally:
        if peer:
            peer.close()
    found["snapshot/gap-1g"] = p95(around)
    if uri:
        say(f"virsh snapshot-create-as --memspec, ms: {[round(ms) for ms in theirs]}")
        found["snapshot/virsh"] = statistics.median(a / b for a, b in zip(times, theirs))
    around, _ = gaps(api, var, rounds, "4g")
    found["snapshot/gap-4g"] = p95(around)
    return found


# ---- revert ----

def reverts(api, var, rounds, size, also=None):
    times = []
    with closing(Machine(api, var, f"bench-memory-{size}", size)) as vm:
        _, _, told = vm.snapshot("there")
        for _ in range(rounds):
            vm.act("stop")
            begin = time.time()
            done = vm.act("revert", {"snapshot": told["id"]})
            if done["state"] != "succeeded":
                raise RuntimeError(f"the revert {done['state']}: {(done['error'] or {}).get('detail')}")
            times.append(vm.next_word_ms(begin))
            if also:
                vm.act("pause")
                also()
    say(f"revert, {size}, ms: {[round(ms) for ms in times]}")
    return times


def revert(api, var, rounds, uri):
    theirs, found = [], {}
    rounds = min(rounds, 5)
    peer = Peer(var, uri, "1g") if uri else None
    try:
        ours = reverts(api, var, rounds, "1g", (lambda: theirs.append(peer.restore_ms())) if peer else None)
    finally:
        if peer:
            peer.close()
    found["revert/next-word"] = statistics.median(ours)
    if uri:
        say(f"virsh restore, ms: {[round(ms) for ms in theirs]}")
        found["revert/virsh"] = statistics.median(b / a for a, b in zip(ours, theirs))
    small, large = (statistics.median(reverts(api, var, rounds, size)) for size in ("small", "4g"))
    found["revert/4g"] = large / small
    return found


def main(part, rounds, var, uri=None):
    print(json.dumps({"snapshot": snapshot, "revert": revert}[part](Api(), var, int(rounds), uri)))


try:
    main(*sys.argv[1:])
except (RuntimeError, OSError, KeyError, subprocess.SubprocessError) as error:
    sys.exit(f"memory: {sys.argv[1]}: {error}")
