#!/usr/bin/python3
"""Forty tiny VMs at once: a PC of 16 MiB whose boot sector halts, so that nothing but the management costs time.

  start    all of them started, until all run.  vmmd: POST for each over 8 connections, until the list says so;
           bare: QEMUs with the very same arguments, one after the other in the background, until each has
           answered 'cont' and then says that it runs
  restart  the managing process killed beside all of them and started again, until a new client is told that
           all run.  vmmd: vmmd-main by SIGKILL, started again by its parent; daemon: vmmd itself, ended by SIGTERM
           and started; libvirtd: by SIGKILL, started at once in its namespace, asked by 'virsh list'

usage: bench/many.py start ROUNDS POOL_DIR
       bench/many.py restart ROUNDS POOL_DIR PIDFILE PROGRAM CONFIG LOG [LIBVIRT_DIR]
Prints {"vmmd": [ms...], "bare": [...]} or {"vmmd": [...], "daemon": [...], "libvirtd": [...]}.
"""
import contextlib
import glob
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bare import Bare
from client import Api

N, CLIENTS, DEADLINE_S = 40, 8, 120
MEMORY_MIB, SECTOR = 16, 512
HALT = b"\xfa\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"  # cli; again: hlt; jmp again


def now_ms():
    return time.monotonic() * 1000


def until(ready, what):
    """Tries until it is true, and is not refused; looks every 5 ms."""
    end = now_ms() + DEADLINE_S * 1000
    while now_ms() < end:
        with contextlib.suppress(OSError, RuntimeError):
            if ready():
                return
        time.sleep(0.005)
    raise RuntimeError(f"{what}: not within {DEADLINE_S} s")


def spec(name):
    return {"name": name, "machine": "pc", "accel": "tcg", "memory_bytes": MEMORY_MIB << 20, "nics": [],
            "disks": [{"size_bytes": 1 << 20, "format": "raw", "bus": "ide", "pool": "main"}]}


def install(folder):
    """Writes the boot sector into every image of a megabyte that has none."""
    for path in glob.glob(f"{folder}/**/*.raw", recursive=True):
        with open(path, "r+b") as file:
            if os.fstat(file.fileno()).st_size == 1 << 20 and not any(file.read(SECTOR)):
                file.seek(0)
                file.write(HALT)


# ---- vmmd ----

class Vmmd:
    def __init__(self, pool_dir):
        self.clients = [Api() for _ in range(CLIENTS)]
        self.ids = [self.clients[0].call("POST", "/vms", spec(f"many-{i:02}"), wait_s=60)["id"] for i in range(N)]
        install(pool_dir)

    def each(self, ask):
        """ask(client, id) for all VMs, over all connections."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(lambda k: [ask(self.clients[k], vm) for vm in self.ids[k::CLIENTS]], k)
                         for k in range(CLIENTS)]:
                done.result()

    def act(self, verb):
        self.each(lambda client, vm: client.call("POST", f"/vms/{vm}/actions/{verb}", {}))

    @staticmethod
    def all_are(client, state):
        items = client.call("GET", "/vms?page_size=1000")["items"]
        return sum(vm["name"].startswith("many-") and vm["run"]["state"] == state for vm in items) == N

    def start(self):
        begin = now_ms()
        self.act("start")
        until(lambda: self.all_are(self.clients[0], "running"), "start")
        return now_ms() - begin

    def stop(self):
        self.act("stop")
        until(lambda: self.all_are(self.clients[0], "off"), "stop")

    def back(self):
        """Until a client that comes anew is told that all run."""
        until(lambda: self.all_are(Api(), "running"), "restart")

    def renew(self):
        self.clients = [Api() for _ in range(CLIENTS)]

    def close(self):
        self.renew()
        self.each(lambda client, vm: stop_quietly(client, vm))
        self.each(lambda client, vm: client.call("DELETE", f"/vms/{vm}", wait_s=60))


def stop_quietly(client, vm):
    with contextlib.suppress(RuntimeError):  # it was off
        client.call("POST", f"/vms/{vm}/actions/stop", {}, wait_s=60)


# ---- start ----

def bare_start(bares):
    try:
        for bare in bares:
            bare.prepare()
        begin = now_ms()
        for bare in bares:
            bare.spawn()
        for bare in bares:
            bare.await_monitor()
            bare.say("cont")
        for bare in bares:
            if not bare.say("query-status")["running"]:
                raise RuntimeError("a bare QEMU does not run")
        return now_ms() - begin
    finally:
        for bare in bares:
            bare.end()


def measure_start(vmmd, rounds):
    vmmd.start()
    bares = [Bare(vm) for vm in vmmd.ids]
    vmmd.stop()
    times = {"vmmd": [], "bare": []}
    for number in range(rounds + 1):
        taken = {"vmmd": vmmd.start()}
        vmmd.stop()
        taken["bare"] = bare_start(bares)
        if number:  # the first round warms caches
            for name, ms in taken.items():
                times[name].append(round(ms, 1))
    return times


# ---- restart ----

def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def child_of(parent, name):
    for path in glob.glob("/proc/[0-9]*/status"):
        with contextlib.suppress(OSError):
            with open(path, encoding="ascii") as file:
                text = file.read()
            if f"Name:\t{name}\n" in text and f"\nPPid:\t{parent}\n" in text:
                return int(path.split("/")[2])
    raise RuntimeError(f"there is no {name}")


class Daemon:
    """vmmd as tools/instance.sh runs it: its pid file is kept true, so that the instance can be removed."""

    def __init__(self, vmmd, pidfile, program, config, log):
        self.vmmd, self.pidfile, self.argv, self.log = vmmd, pidfile, [program, "--config", config], log

    def pid(self):
        with open(self.pidfile, encoding="ascii") as file:
            return int(file.read().split()[0])

    def kill_main(self):
        victim = child_of(self.pid(), "vmmd-main")
        begin = now_ms()
        os.kill(victim, signal.SIGKILL)
        self.vmmd.back()
        return now_ms() - begin

    def restart(self):
        old = self.pid()
        begin = now_ms()
        os.kill(old, signal.SIGTERM)
        until(lambda: not alive(old), "end of vmmd")
        with open(self.log, "ab") as log:
            pid = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True).pid
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            began = file.read().rpartition(") ")[2].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        with open(self.pidfile, "w", encoding="ascii") as file:
            file.write(f"{pid} {began} {boot}\n")
        self.vmmd.back()
        return now_ms() - begin


DOMAIN = """<domain type='qemu'><name>many-{i:02}</name><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
  <os><type machine='pc'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>
      <source file='{folder}/{i:02}.raw'/><target dev='hda' bus='ide'/></disk>
    <serial type='file'><source path='{folder}/{i:02}.log'/></serial>
    <video><model type='vga'/></video><rng model='virtio'><backend model='builtin'/></rng>
    <panic model='isa'/><memballoon model='none'/><controller type='usb' model='none'/>
  </devices></domain>"""


class Libvirtd:
    """bench/libvirtd, kept in its namespace when it is started again."""

    def __init__(self, folder):
        self.folder, self.uri = folder, f"qemu+unix:///system?socket={folder}/libvirt-sock"
        self.daemon, self.namespace = None, None

    def virsh(self, *words):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"virsh {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def open(self):
        os.makedirs(self.folder, exist_ok=True)
        self.daemon = self.spawn("bench/libvirtd", self.folder)
        until(lambda: self.virsh("uri"), "libvirtd")
        self.namespace = os.open(f"/proc/{self.daemon.pid}/ns/mnt", os.O_RDONLY)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.make, range(N)))
        self.back()

    def spawn(self, *argv, **more):
        with open(f"{self.folder}/daemon.log", "ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)

    def make(self, i):
        with open(f"{self.folder}/{i:02}.raw", "wb") as file:
            file.write(HALT)
            file.truncate(1 << 20)
        with open(f"{self.folder}/{i:02}.xml", "w", encoding="utf-8") as file:
            file.write(DOMAIN.format(i=i, memory=MEMORY_MIB, folder=self.folder))
        self.virsh("create", f"{self.folder}/{i:02}.xml")

    def back(self):
        until(lambda: len(self.virsh("list", "--state-running", "--name").split()) == N, "libvirtd")

    def restart(self):
        begin = now_ms()
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = self.spawn("nsenter", f"--mount=/proc/self/fd/{self.namespace}", "libvirtd",
                                 "-f", f"{self.folder}/etc/libvirtd.conf", "-p", f"{self.folder}/libvirtd.pid",
                                 pass_fds=[self.namespace])
        self.back()
        return now_ms() - begin

    def close(self):
        """Its domains are its own children no more: each is known by its pid file, and killed by a pidfd."""
        for path in glob.glob(f"{self.folder}/run/qemu/many-*.pid"):
            with contextlib.suppress(OSError, ValueError):
                with open(path, encoding="ascii") as file:
                    pid = int(file.read())
                handle = os.pidfd_open(pid)
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("qemu-system"):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()
        if self.namespace is not None:
            os.close(self.namespace)


def rounds_of(name, once, rounds):
    times = [once() for _ in range(rounds + 1)][1:]
    return {name: [round(ms, 1) for ms in times]}


def measure_restart(vmmd, rounds, pidfile, program, config, log, libvirt_dir=None):
    times = {}
    if libvirt_dir:  # first and alone, so that its 40 QEMUs are the only ones
        peer = Libvirtd(libvirt_dir)
        try:
            peer.open()
            times |= rounds_of("libvirtd", peer.restart, rounds)
        finally:
            peer.close()
    daemon = Daemon(vmmd, pidfile, program, config, log)
    vmmd.start()
    times |= rounds_of("daemon", daemon.restart, rounds)
    vmmd.renew()
    return times | rounds_of("vmmd", daemon.kill_main, rounds)


# ---- all together ----

def main(what, rounds, pool_dir, *more):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    vmmd = Vmmd(pool_dir)
    try:
        times = {"start": measure_start, "restart": measure_restart}[what](vmmd, int(rounds), *more)
    finally:
        vmmd.close()
    for name, values in times.items():
        print(f"{what} of {N}: {name}: median {statistics.median(values):.0f} ms of {values}", file=sys.stderr)
    print(json.dumps(times))


try:
    main(*sys.argv[1:])
except (RuntimeError, OSError) as error:
    sys.exit(f"many: {error}")
