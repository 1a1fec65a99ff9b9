#!/usr/bin/python3
"""How long a VM takes from the request to start until it runs, in three ways, by turns:

  vmmd   POST /vms/{id}/actions/start, until the reply says that it runs
  bare   QEMU with the very same arguments, from spawn until it has answered qmp_capabilities
  virsh  'virsh start' of a domain with the same devices, until the command has ended

and of vmmd's time 'jail': from asking the helper until the VM's worker and its jail run (cgroups, limits, namespaces,
filters), as the daemon has measured it.

The arguments of 'bare' are those of vmmd's own QEMU, read from /proc while it runs: see bare.py.

usage: bench/vm_start.py GUEST_DIR ROUNDS [LIBVIRT_URI]     prints {"vmmd": [ms...], "bare": ..., "jail": ..., "virsh": ...}
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from bare import Bare
from client import Api, vm_spec

VM = "bench-start"


def now_ms():
    return time.monotonic() * 1000


# ---- bare QEMU ----

def bare_run(bare):
    """One start; milliseconds."""
    bare.prepare()
    try:
        begin = now_ms()
        bare.spawn()
        bare.await_monitor()
        return now_ms() - begin
    finally:
        bare.end()


# ---- virsh ----

DOMAIN = """<domain type='{kind}'>
  <name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type machine='q35'>hvm</type><kernel>{guest}/vmlinuz</kernel><initrd>{guest}/initrd.img</initrd>
    <cmdline>console=tty0 console=ttyS0 quiet no_timer_check</cmdline></os>
  <features><acpi/></features><cpu mode='{cpu}'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='file'><source path='{serial}'/></serial>
    <video><model type='vga'/></video>
    <rng model='virtio'><backend model='builtin'/></rng>
    <panic model='isa'/><memballoon model='none'/><controller type='usb' model='none'/>
  </devices>
</domain>"""


class Virsh:
    def __init__(self, uri, guest_dir, accel, folder):
        self.uri = uri
        disk = f"{folder}/disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
        xml = DOMAIN.format(kind="kvm" if accel == "kvm" else "qemu", name=VM, guest=guest_dir, disk=disk,
                            cpu="host-passthrough" if accel == "kvm" else "maximum",
                            serial=f"{folder}/serial.log")
        with open(f"{folder}/domain.xml", "w", encoding="utf-8") as file:
            file.write(xml)
        self.virsh("define", f"{folder}/domain.xml")

    def virsh(self, *words):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise RuntimeError(f"virsh {words[0]}: {done.stderr.strip()}")

    def run(self):
        begin = now_ms()
        self.virsh("start", VM)
        taken = now_ms() - begin
        self.virsh("destroy", VM)
        return taken

    def close(self):
        self.virsh("undefine", VM)


# ---- vmmd ----

class Vmmd:
    def __init__(self):
        self.api = Api()
        self.uuid = self.api.call("POST", "/vms", vm_spec(VM), wait_s=60)["id"]

    def start(self):
        begin = now_ms()
        self.api.call("POST", f"/vms/{self.uuid}/actions/start", {}, wait_s=60)
        return now_ms() - begin

    def stop(self):
        self.api.call("POST", f"/vms/{self.uuid}/actions/stop", {}, wait_s=60)

    def accel(self):
        return self.api.call("GET", f"/vms/{self.uuid}")["run"]["accel"]

    def run(self):
        taken = self.start()
        self.stop()
        return taken

    def jails(self):
        """How many workers with their jails the daemon has started, and how many ms that took in all."""
        found = {}
        for line in self.api.metrics().splitlines():
            for part in ("sum", "count"):
                name = f"vmmd_worker_start_duration_seconds_{part} "
                if line.startswith(name):
                    found[part] = float(line[len(name):].split()[0])
        return found["count"], found["sum"] * 1000

    def close(self):
        self.api.call("DELETE", f"/vms/{self.uuid}", wait_s=60)


def measure(guest_dir, rounds, uri, folder):
    vmmd = Vmmd()
    try:
        vmmd.start()
        bare = Bare(vmmd.uuid, {"/in/kernel": f"{guest_dir}/vmlinuz", "/in/initrd": f"{guest_dir}/initrd.img"})
        accel = vmmd.accel()
        vmmd.stop()
        ways = {"vmmd": vmmd.run, "bare": lambda: bare_run(bare)}
        if uri:
            virsh = Virsh(uri, guest_dir, accel, folder)
            ways["virsh"] = virsh.run
        times = {name: [] for name in ways}
        jails = []
        for number in range(rounds + 1):
            count, sum_ms = vmmd.jails()
            for name, way in ways.items():
                taken = way()
                if number:  # the first round warms caches
                    times[name].append(round(taken, 1))
            now, now_ms_in_all = vmmd.jails()
            if number and now > count:
                jails.append(round((now_ms_in_all - sum_ms) / (now - count), 2))
        times["jail"] = jails
        if uri:
            virsh.close()
        return times
    finally:
        try:
            vmmd.stop()
        except RuntimeError:
            pass  # it was off
        vmmd.close()


def main():
    guest_dir, rounds = os.path.realpath(sys.argv[1]), int(sys.argv[2])
    uri = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as folder:
        try:
            times = measure(guest_dir, rounds, uri, folder)
        except (RuntimeError, OSError) as error:
            sys.exit(f"vm-start: {error}")
    for name, values in times.items():
        print(f"vm-start: {name}: median {statistics.median(values):.0f} ms of {values}", file=sys.stderr)
    print(json.dumps(times))


main()
