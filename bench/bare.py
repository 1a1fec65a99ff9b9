"""A QEMU like that of a running VM, without vmmd: the same arguments, read from /proc; its descriptors are replaced
by equal ones, sockets by socket pairs, the disk by a new open of the same image."""
import json
import os
import re
import socket

ABOVE = 600  # descriptors are moved up here first, so that no number is overwritten before it was used


class Bare:
    def __init__(self, uuid, inputs=None):
        """'inputs': what to read in place of the files that exist only in the jail."""
        pid = self.find(uuid)
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read().decode().rstrip("\0").split("\0")
        self.argv = [(inputs or {}).get(word, word) for word in argv]
        self.sockets, self.files = self.descriptors()
        self.disk, self.disk_flags = self.open_disk(pid)
        self.monitor = self.monitor_number()
        self.pid, self.ours, self.lines = None, [], None

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

    @staticmethod
    def open_disk(pid):
        """QEMU has duplicates of what it was given; any of them that is a regular file is the disk."""
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            if os.readlink(path).endswith((".qcow2", ".raw")) or os.path.isfile(path):
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
                    flags = int(re.search(r"^flags:\s*(\d+)", file.read(), re.M).group(1), 8)
                flags &= os.O_ACCMODE | os.O_DIRECT
                if flags & os.O_ACCMODE == os.O_RDWR:
                    return os.open(path, flags), flags
        raise RuntimeError("found no disk among QEMU's descriptors")

    def monitor_number(self):
        name = re.search(r"chardev=(\w+),mode=control", " ".join(self.argv)).group(1)
        return int(re.search(rf"socket,id={name},fd=(\d+)", " ".join(self.argv)).group(1))

    def prepare(self):
        """All that a caller would have at hand. The disk is opened anew each time: locks go with the open."""
        monitor, actions, self.ours = None, [], []
        for number in self.sockets:
            near, far = socket.socketpair()
            self.ours += [near, far]
            monitor = near if number == self.monitor else monitor
            actions.append((far.fileno(), number))
        disk = os.open(f"/proc/self/fd/{self.disk}", self.disk_flags)
        self.ours.append(os.fdopen(disk, "rb", buffering=0))
        actions += [(disk, number) for number in self.files]
        self.moves = [(os.POSIX_SPAWN_DUP2, fd, ABOVE + i) for i, (fd, _) in enumerate(actions)]
        self.moves += [(os.POSIX_SPAWN_DUP2, ABOVE + i, to) for i, (_, to) in enumerate(actions)]
        self.moves += [(os.POSIX_SPAWN_CLOSE, ABOVE + i) for i in range(len(actions))]
        self.channel, self.lines = monitor, monitor.makefile("rb")

    def spawn(self):
        """In a session of its own, as vmmd's have: the scheduler shares out processors by sessions."""
        self.pid = os.posix_spawn(self.argv[0], self.argv, os.environ, file_actions=self.moves, setsid=True)
        for far in self.ours[1::2]:
            far.close()

    def say(self, command):
        """Sends a command and reads until its answer; events in between are dropped."""
        self.channel.sendall(b'{"execute":"%s"}\n' % command.encode())
        for line in self.lines:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                break
        raise RuntimeError("the bare QEMU has not answered; its words are above")

    def await_monitor(self):
        self.lines.readline()
        self.say("qmp_capabilities")

    def end(self):
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self.pid = None
        if self.lines:
            self.lines.close()
        for each in self.ours:
            each.close()
        self.ours, self.lines = [], None
