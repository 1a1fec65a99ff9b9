#!/usr/bin/python3
"""How long a VM takes from the request to start until it runs, in three ways, by turns:

  vmmd   POST /vms/{id}/actions/start, until the reply says that it runs
  bare   QEMU with the very same arguments, from spawn until it has answered qmp_capabilities
  virsh  'virsh start' of a domain with the same devices, until the command has ended

The arguments of 'bare' are those of vmmd's own QEMU, read from /proc while it runs. Its descriptors are
replaced by equal ones: sockets by socket pairs, the disk by a new open of the same image.

usage: bench/vm_start.py GUEST_DIR ROUNDS [LIBVIRT_URI]     prints {"vmmd": [ms...], "bare": ..., "virsh": ...}
"""
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from client import Api, vm_spec

VM = "bench-start"


def now_ms():
    return time.monotonic() * 1000


# ---- bare QEMU ----

class Bare:
    """A QEMU like the one of a running VM."""

    def __init__(self, uuid, guest_dir):
        pid = self.find(uuid)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read().decode().rstrip("\0").split("\0")
        inputs = {"/in/kernel": f"{guest_dir}/vmlinuz", "/in/initrd": f"{guest_dir}/initrd.img"}
        self.argv = [inputs.get(word, word) for word in argv]
        self.sockets, self.files = self.descriptors()
        self.disk, self.disk_flags = self.open_disk(pid)
        self.monitor = self.monitor_number()

    @staticmethod
    def find(uuid):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if f"guest=vm-{uuid}".encode() in file.read().split(b"\0"):
                        return int(pid)
            except OSError:
                pass  # it ended while we looked
        raise RuntimeError(f"found no QEMU of VM {uuid}")

    def descriptors(self):
        """The numbers on the command line: those of sockets, those of files."""
        text = "\n".join(self.argv)
        files = [int(n) for n in re.findall(r"^fd=(\d+),set=", text, re.M)]
        numbers = [int(n) for n in re.findall(r'[,"]fd[="]+(\d+)', text)]
        numbers += [int(n) for n in re.findall(r'"type":"fd","str":"(\d+)"', text)]
        return sorted(set(numbers) - set(files)), files

    def open_disk(self, pid):
        """QEMU has duplicates of what it was given; any of them that is a regular file is the disk."""
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            if os.readlink(path).endswith(".qcow2") or os.path.isfile(path):
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
                    flags = int(re.search(r"^flags:\s*(\d+)", file.read(), re.M).group(1), 8)
                flags &= os.O_ACCMODE | os.O_DIRECT
                if flags & os.O_ACCMODE == os.O_RDWR:
                    return os.open(path, flags), flags
        raise RuntimeError("found no disk among QEMU's descriptors")

    def monitor_number(self):
        name = re.search(r"chardev=(\w+),mode=control", " ".join(self.argv)).group(1)
        return int(re.search(rf"socket,id={name},fd=(\d+)", " ".join(self.argv)).group(1))

    def run(self):
        """One start; milliseconds. A disk that was opened anew each time, since locks go with the open."""
        ours, actions = [], []
        monitor = None
        high = 200  # so that no number is overwritten before it was used
        for number in self.sockets:
            near, far = socket.socketpair()
            ours += [near, far]
            monitor = near if number == self.monitor else monitor
            actions.append((far.fileno(), number))
        disk = os.open(f"/proc/self/fd/{self.disk}", self.disk_flags)
        actions += [(disk, number) for number in self.files]
        moves = [(os.POSIX_SPAWN_DUP2, fd, high + i) for i, (fd, _) in enumerate(actions)]
        moves += [(os.POSIX_SPAWN_DUP2, high + i, to) for i, (_, to) in enumerate(actions)]
        moves += [(os.POSIX_SPAWN_CLOSE, high + i) for i in range(len(actions))]
        begin = now_ms()
        pid = os.posix_spawn(self.argv[0], self.argv, os.environ, file_actions=moves)
        for fd in ours[1::2]:
            fd.close()
        lines = monitor.makefile("rb")
        lines.readline()
        monitor.sendall(b'{"execute":"qmp_capabilities"}\n')
        answer = lines.readline()
        taken = now_ms() - begin
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(disk)
        lines.close()
        for fd in ours[0::2]:
            fd.close()
        if b"return" not in answer:
            raise RuntimeError("the bare QEMU has not answered; its words are above")
        return taken


# ---- virsh ----

DOMAIN = """<domain type='{kind}'>
  <name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type machine='q35'>hvm</type><kernel>{guest}/vmlinuz</kernel><initrd>{guest}/initrd.img</initrd>
    <cmdline>console=tty0 console=ttyS0 quiet</cmdline></os>
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

    def close(self):
        self.api.call("DELETE", f"/vms/{self.uuid}", wait_s=60)


def measure(guest_dir, rounds, uri, folder):
    vmmd = Vmmd()
    try:
        vmmd.start()
        bare = Bare(vmmd.uuid, guest_dir)
        accel = vmmd.accel()
        vmmd.stop()
        ways = {"vmmd": vmmd, "bare": bare}
        if uri:
            ways["virsh"] = Virsh(uri, guest_dir, accel, folder)
        times = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, way in ways.items():
                taken = way.run()
                if number:  # the first round warms caches
                    times[name].append(round(taken, 1))
        if uri:
            ways["virsh"].close()
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
