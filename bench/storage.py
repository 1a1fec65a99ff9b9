#!/usr/bin/python3
"""Storage of running VMs: how fast it moves, and what its guest notices.

  move      1 GiB of random data in a raw image moved between two pools, guest idle, no limit; against 'qemu-img convert' with
            the same cache mode and an fsync, and against 'virsh blockcopy --pivot' and an fsync, by turns
  pause     the longest silence of a guest that writes (writer.py) around the moment its disks switch, with one disk and two
  writes    that guest's writes a second during a move at the automatic limit, and without
  snapshot  the longest silence while a snapshot of its four disks is taken
  clone     POST of a linked clone of a VM with a disk of 20 GiB, until it is there
  delete    the middle of three snapshots, with 100 MiB of changes, deleted while the guest runs; against copying 100 MiB with
            an fsync, by turns

usage: bench/storage.py PART ROUNDS VAR_DIR [LIBVIRT_URI]     prints {FIGURE: value...}; what was measured on stderr
"""
import contextlib
import glob
import json
import os
import statistics
import subprocess
import sys
import time

from client import Api
from writer import HALT, SECTOR, WRITER, Watch, boot_sector, p95, vm_dir

MIB, GIB = 1 << 20, 1 << 30
AROUND_S = 0.15  # a pivot is looked for this long before and after its record
BLOCK = os.urandom(8 * MIB)


def say(text):
    print("storage: " + text, file=sys.stderr)


def timed_ms(work):
    begin = time.monotonic()
    work()
    return (time.monotonic() - begin) * 1000


# ---- files ----

def fill(path, size, code):
    """Random data behind a boot sector, on the disk."""
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        for _ in range(size // len(BLOCK)):
            file.write(BLOCK)
        file.truncate(size)
        file.seek(0)
        file.write(boot_sector(code))
        file.flush()
        os.fsync(file.fileno())


def fsync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def newest(pools, kind):
    return max(glob.glob(f"{pools}/**/*.{kind}", recursive=True), key=os.path.getmtime)


# ---- VMs ----

class Machine:
    """A PC of 32 MiB that boots from the first of its disks."""

    def __init__(self, api, var, name, sizes):
        self.api, self.pools, self.state = api, f"{var}/pools", f"{var}/state"
        before = self.images()
        disks = [{"size_bytes": size, "format": "raw", "pool": "main"} for size in sizes]
        self.uuid = api.call("POST", "/vms", {"name": name, "machine": "pc", "accel": "tcg", "memory_bytes": 32 * MIB,
                                              "nics": [], "disks": disks}, wait_s=60)["id"]
        self.new = sorted(self.images() - before)

    def images(self):
        return {path for kind in ("raw", "qcow2") for path in glob.glob(f"{self.pools}/**/*.{kind}", recursive=True)}

    def boot(self, code):
        """Any of its disks may be the first."""
        for path in self.new:
            with open(path, "r+b") as file:
                file.write(boot_sector(code))
                os.fsync(file.fileno())

    def act(self, verb, arguments=None):
        return self.api.call("POST", f"/vms/{self.uuid}/actions/{verb}", arguments or {}, wait_s=110)

    def move(self, pool, **more):
        return self.act("move-storage", {"pool": pool, **more})

    def snapshot(self, name):
        return self.api.call("POST", f"/vms/{self.uuid}/snapshots", {"name": name}, wait_s=60)["result"]["snapshot"]

    def clean(self):
        """What moves have left behind."""
        for path in glob.glob(f"{self.pools}/**/moved-*", recursive=True):
            os.unlink(path)

    def pivoted_at(self):
        """When the worker wrote its record: while the disks stood still."""
        return os.stat(f"{vm_dir(self.state, self.uuid)}/commit.log").st_mtime

    def close(self):
        with contextlib.suppress(RuntimeError):  # it was off
            self.act("stop")
        self.api.call("DELETE", f"/vms/{self.uuid}", wait_s=60)


@contextlib.contextmanager
def machine(api, var, name, sizes):
    made = Machine(api, var, name, sizes)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def watched(vm):
    watch = Watch(vm.state, vm.uuid)
    try:
        watch.await_words()
        yield watch
    finally:
        watch.close()


# ---- move ----

DOMAIN = """<domain type='qemu'><name>bench-move</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type machine='pc'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>
      <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <memballoon model='none'/><controller type='usb' model='none'/>
  </devices></domain>"""


class Peers:
    """qemu-img, and a domain of libvirt's whose disk is copied to and fro. Their files are beside the pools."""

    def __init__(self, var, uri):
        self.folder, self.uri, self.number = f"{var}/peer", uri, 0
        os.makedirs(self.folder, exist_ok=True)
        self.disk = f"{self.folder}/0.raw"
        fill(self.disk, GIB, HALT)
        if uri:
            with open(f"{self.folder}/domain.xml", "w", encoding="utf-8") as file:
                file.write(DOMAIN.format(disk=self.disk))
            self.virsh("create", f"{self.folder}/domain.xml")

    def virsh(self, *words):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"virsh {words[0]}: {done.stderr.strip()}")

    def convert(self):
        to = f"{self.folder}/converted.raw"
        subprocess.run(["qemu-img", "convert", "-U", "-t", "none", "-T", "none", "-f", "raw", "-O", "raw", self.disk, to],
                       check=True)
        fsync(to)

    def blockcopy(self):
        self.number += 1
        to = f"{self.folder}/{self.number}.raw"
        self.virsh("blockcopy", "bench-move", "vda", "--dest", to, "--format", "raw", "--pivot", "--wait",
                   "--transient-job")
        fsync(to)
        self.disk = to

    def clean(self):
        """Copies are not taken away while the clock runs: a gibibyte takes a file system with online discard a second."""
        for path in glob.glob(f"{self.folder}/*.raw"):
            if path != self.disk:
                os.unlink(path)

    def close(self):
        if self.uri:
            with contextlib.suppress(RuntimeError):
                self.virsh("destroy", "bench-move")


def move(api, var, rounds, uri):
    times = {"vmmd": [], "convert": [], "blockcopy": []}
    rounds = min(rounds, 3)  # of seconds each
    peers = Peers(var, uri)
    try:
        with machine(api, var, "bench-move", [GIB]) as vm:
            fill(vm.new[0], GIB, HALT)
            vm.act("start")
            for number in range(rounds + 1):
                pool = ["second", "main"][number % 2]
                taken = {"vmmd": timed_ms(lambda: vm.move(pool, bandwidth=0, delete_source=False))}
                vm.clean()
                taken["convert"] = timed_ms(peers.convert)
                peers.clean()
                if uri:
                    taken["blockcopy"] = timed_ms(peers.blockcopy)
                    peers.clean()
                for name, ms in taken.items() if number else ():
                    times[name].append(round(ms))
    finally:
        peers.close()
    say(f"move of 1 GiB, ms: {times}")
    ratio = {name: statistics.median(b / a for a, b in zip(times["vmmd"], times[name])) for name in times if times[name]}
    return {"move/convert": ratio["convert"]} | ({"move/blockcopy": ratio["blockcopy"]} if uri else {})


# ---- pause ----

def pauses(api, var, moves, disks):
    """The longest silences around pivots, those of as long a time without, and what the worker says."""
    around, noise, said = [], [], []
    with machine(api, var, f"bench-pause-{disks}", [64 * MIB] * disks) as vm:
        vm.boot(WRITER)
        vm.act("start")
        with watched(vm) as watch:
            for number in range(moves):
                begin = time.time()
                time.sleep(1.2)
                noise += watch.gaps_ms(begin, time.time(), 2 * AROUND_S)
                said.append(vm.move(["second", "main"][number % 2], bandwidth=0)["result"]["pause_us"] / 1000)
                at = vm.pivoted_at()
                time.sleep(AROUND_S)
                around.append(watch.gap_ms(at - AROUND_S, at + AROUND_S))
    say(f"pause with {disks} disk(s), ms: guest {[round(ms, 1) for ms in around]}, the worker says {said}; "
        f"without a pivot p50 {statistics.median(noise):.1f}, p95 {p95(noise):.1f} of {len(noise)}")
    return max(0, p95(around) - p95(noise))


def pause(api, var, rounds, _uri):
    return {f"pause/{n}-disk{'s' * (n > 1)}": pauses(api, var, 2 * rounds, n) for n in (1, 2)}


# ---- writes ----

def move_for(api, vm, pool, seconds):
    """Begins a move, and calls it off when it has not ended by then. When it began and ended, and what it copied."""
    begin = time.time()
    job = api.call("POST", f"/vms/{vm.uuid}/actions/move-storage", {"pool": pool})["id"]
    done = api.call("GET", f"/operations/{job}?wait={seconds}")
    end = time.time()
    if done["ended_at"] is None:
        with contextlib.suppress(RuntimeError):  # it ended just now
            api.call("POST", f"/operations/{job}/actions/cancel", {})
        done = api.call("GET", f"/operations/{job}?wait=60")
    if done["state"] not in ("succeeded", "cancelled"):
        raise RuntimeError(f"the move {done['state']}: {(done['error'] or {}).get('detail')}")
    return begin, end, done["progress"]["done"], done["state"] == "succeeded"


def writes(api, var, rounds, _uri):
    ratios, seconds, here = [], 6, "main"
    with machine(api, var, "bench-writes", [GIB]) as vm:
        fill(vm.new[0], GIB, WRITER)
        vm.act("start")
        with watched(vm) as watch:
            for _ in range(min(rounds, 3)):
                before = time.time()
                time.sleep(seconds / 2)
                there = "second" if here == "main" else "main"
                begin, end, copied, moved = move_for(api, vm, there, seconds)
                here = there if moved else here
                time.sleep(0.5)
                after = time.time()
                time.sleep(seconds / 2)
                alone = (watch.per_s(before, begin) + watch.per_s(after, time.time())) / 2
                beside = watch.per_s(begin, end)
                say(f"writes: {alone:.0f}/s alone, {beside:.0f}/s during {copied // MIB} MiB of a move in {end - begin:.1f} s")
                ratios.append(beside / alone)
    return {"writes/rate": statistics.median(ratios)}


# ---- snapshot ----

def snapshot(api, var, rounds, _uri):
    around, noise = [], []
    with machine(api, var, "bench-snapshot", [64 * MIB] * 4) as vm:
        vm.boot(WRITER)
        vm.act("start")
        with watched(vm) as watch:
            for number in range(2 * rounds):
                begin = time.time()
                time.sleep(1.2)
                noise += watch.gaps_ms(begin, time.time(), 2 * AROUND_S)
                leaves = vm.images()
                vm.snapshot(f"s{number}")
                at = max(map(os.path.getmtime, leaves))  # the last write that did not go to the new files
                time.sleep(AROUND_S)
                around.append(watch.gap_ms(at - AROUND_S, at + AROUND_S))
    say(f"snapshot of 4 disks, ms: guest {[round(ms, 1) for ms in around]}; "
        f"without p50 {statistics.median(noise):.1f}, p95 {p95(noise):.1f} of {len(noise)}")
    return {"snapshot/pause": max(0, p95(around) - p95(noise))}


# ---- clone ----

def clone(api, var, rounds, _uri):
    times = []
    with machine(api, var, "bench-clone", [20 * GIB]) as vm:
        for number in range(rounds + 1):
            begin = time.monotonic()
            made = vm.act("clone", {"name": f"bench-clone-{number}"})["id"]
            times.append((time.monotonic() - begin) * 1000)
            api.call("DELETE", f"/vms/{made}", wait_s=60)
    say(f"clone, ms: {[round(ms, 1) for ms in times[1:]]}")
    return {"clone/linked": statistics.median(times[1:])}


# ---- delete ----

def change(image, data, size):
    """As a guest would have, in a cluster each: what lies below is not needed for that."""
    chain = {"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": image}}
    subprocess.run(["qemu-io", "-c", f"write -q -s {data} 1M {size}", "json:" + json.dumps(chain)], check=True,
                   stdout=subprocess.DEVNULL)
    fsync(image)


def delete_once(api, var, data, size):
    with machine(api, var, "bench-delete", [GIB]) as vm:
        vm.boot(HALT)
        vm.snapshot("first")
        change(newest(vm.pools, "qcow2"), data, size)
        middle = vm.snapshot("middle")
        vm.act("start")
        vm.snapshot("last")
        return timed_ms(lambda: api.call("DELETE", f"/snapshots/{middle}", wait_s=60))


def delete(api, var, rounds, _uri):
    size, times = 100 * MIB, {"vmmd": [], "dd": []}
    data, copy = f"{var}/data", f"{var}/pools/main/bench-copy"
    fill(data, size, b"")
    for number in range(min(rounds, 5) + 1):
        taken = {"vmmd": delete_once(api, var, data, size),
                 "dd": timed_ms(lambda: subprocess.run(["dd", f"if={data}", f"of={copy}", "bs=1M", "conv=fsync",
                                                        "status=none"], check=True))}
        os.unlink(copy)
        for name, ms in taken.items() if number else ():
            times[name].append(round(ms))
    say(f"deleting a snapshot of 100 MiB, ms: {times}")
    return {"delete/dd": statistics.median(a / b for a, b in zip(times["vmmd"], times["dd"]))}


PARTS = {"move": move, "pause": pause, "writes": writes, "snapshot": snapshot, "clone": clone, "delete": delete}


def main(part, rounds, var, uri=None):
    print(json.dumps(PARTS[part](Api(), var, int(rounds), uri)))


try:
    main(*sys.argv[1:])
except (RuntimeError, OSError, subprocess.SubprocessError) as error:
    sys.exit(f"storage: {sys.argv[1]}: {error}")
