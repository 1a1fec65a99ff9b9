#!/usr/bin/python3
"""Defining VMs by 16 clients at once, in two ways, by turns; every definition is durable when its client is told:

  vmmd      POST /vms, no disks, over 16 kept TLS connections
  libvirtd  'define' of the same machine by 16 running virsh, each fed with its share of the commands

Connections are there before the clock runs. What was defined is removed after each round.

usage: bench/define.py N ROUNDS [LIBVIRT_URI DIR]     prints {"vmmd": [per s...], "libvirtd": [per s...]}
"""
import json
import os
import statistics
import subprocess
import sys
import threading
import time

from client import vm_spec
from wire import Wire

CLIENTS = 16
DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type machine='q35'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='user'><model type='virtio'/></interface><serial type='pty'/>
    <video><model type='vga'/></video><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <panic model='isa'/><memballoon model='none'/><controller type='usb' model='none'/>
  </devices></domain>"""


def names(n):
    return [f"define-{i:05}" for i in range(n)]


def together(work):
    """Seconds until all threads, started at one moment, have done work(k)."""
    gate, failed = threading.Barrier(CLIENTS + 1), []

    def run(k):
        gate.wait()
        try:
            work(k)
        except (OSError, RuntimeError) as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(CLIENTS)]
    for thread in threads:
        thread.start()
    gate.wait()
    begin = time.monotonic()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - begin
    if failed:
        raise RuntimeError(str(failed[0]))
    return taken


# ---- vmmd ----

class Vmmd:
    """Defines VMs by the names it is given, and removes them."""

    def __init__(self, all_names, **more):
        spec = {key: value for key, value in vm_spec("").items() if key != "disks"} | more
        self.defines = [Wire.request("POST", "/vms", json.dumps(spec | {"name": name}).encode())
                        for name in all_names]
        self.deletes = [Wire.request("DELETE", f"/vms/{name}", headers="Prefer: wait=60\r\n") for name in all_names]

    @staticmethod
    def each(requests):
        wires = [Wire() for _ in range(CLIENTS)]

        def work(k):
            for request in requests[k::CLIENTS]:
                wires[k].send(request)

        taken = together(work)
        for wire in wires:
            wire.tls.close()
        return taken

    def define(self):
        """Definitions a second."""
        return len(self.defines) / self.each(self.defines)

    def remove(self):
        self.each(self.deletes)

    def run(self):
        rate = self.define()
        self.remove()
        return rate


# ---- libvirt ----

class Virsh:
    def __init__(self, all_names, uri, folder):
        self.uri, self.folder, self.names = uri, folder, all_names
        for name in all_names:
            with open(f"{folder}/{name}.xml", "w", encoding="utf-8") as file:
                file.write(DOMAIN.format(name=name))

    def each(self, commands):
        clients = [self.spawn() for _ in range(CLIENTS)]
        for client in clients:  # each is connected when it has answered
            client.stdin.write("uri\n")
            client.stdin.flush()
            while "qemu" not in client.stdout.readline():
                pass

        def work(k):
            told, _ = clients[k].communicate("".join(f"{line}\n" for line in commands[k::CLIENTS]) + "quit\n")
            if "error:" in told:
                raise RuntimeError("virsh " + told[told.index("error:"):][:200])

        return together(work)

    def spawn(self):
        return subprocess.Popen(["virsh", "-c", self.uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, bufsize=1)

    def run(self):
        rate = len(self.names) / self.each([f"define {self.folder}/{name}.xml" for name in self.names])
        self.each([f"undefine {name}" for name in self.names])
        return rate


def main(n, rounds, uri=None, folder=None):
    all_names = names(int(n))
    ways = {"vmmd": Vmmd(all_names)}
    if uri:
        os.makedirs(folder, exist_ok=True)
        ways["libvirtd"] = Virsh(all_names, uri, folder)
    rates = {name: [] for name in ways}
    for number in range(int(rounds) + 1):
        for name, way in ways.items():
            rate = way.run()
            if number:  # the first round warms caches
                rates[name].append(round(rate, 1))
    for name, values in rates.items():
        print(f"define: {name}: median {statistics.median(values):.0f}/s of {values}", file=sys.stderr)
    print(json.dumps(rates))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (RuntimeError, OSError) as error:
        sys.exit(f"define: {error}")
