"""Runs in QEMU's place, in the jail, and tries to get out of it or at something that it was not given.

Prints a line for each way, with one of five words and the way's name:
    denied      the kernel or the jail refused it: by an error that means that, and not by one about the arguments
    hidden      there is no file of that path; whether the host has one is for the reader to look at
    not-here    this kernel has no such thing at all, so nothing is proved
    unclear     another error: it says nothing about the jail, and the attempt has to be written better
    POSSIBLE    it worked
and a last one: how many were tried. Needs nothing but the interpreter: there is no /proc, no network and no file but those
below /usr. The argument is a socket that exists on the host."""
import ctypes
import errno
import os
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

NUMBERS = {"mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308, "ptrace": 101,
           "process_vm_readv": 310, "bpf": 321, "perf_event_open": 298, "io_uring_setup": 425, "keyctl": 250, "add_key": 248,
           "request_key": 249, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313,
           "delete_module": 176, "reboot": 169, "swapon": 167, "open_by_handle_at": 304, "userfaultfd": 323,
           "sethostname": 170, "settimeofday": 164, "clock_settime": 227, "iopl": 172, "ioperm": 173, "modify_ldt": 154,
           "acct": 163, "quotactl": 179, "fanotify_init": 300, "syslog": 103, "capset": 126, "open_tree": 428,
           "move_mount": 429, "fsopen": 430, "mount_setattr": 442, "clone": 56, "setuid": 105, "setgroups": 116,
           "mknodat": 259, "kcmp": 312, "pidfd_getfd": 438, "pidfd_open": 434, "prctl": 157, "prlimit64": 302}
NAMESPACES = {"user": 0x10000000, "mnt": 0x20000, "pid": 0x20000000, "net": 0x40000000, "uts": 0x4000000, "ipc": 0x8000000,
              "cgroup": 0x2000000, "time": 0x80}


REFUSED = {errno.EPERM, errno.EACCES, errno.EROFS}
LACKING = {errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.ENODEV}
NOWHERE = {errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH}  # there is no network


class Way:
    """An attempt; what else than a plain refusal means that it was denied; and the path that it needs, or None."""
    def __init__(self, attempt, also=(), path=None):
        self.attempt, self.also, self.path = attempt, set(also), path

    def judge(self):
        try:
            self.attempt()
        except OSError as error:
            if error.errno in REFUSED | self.also:
                return "denied", ""
            if error.errno == errno.ENOENT and self.path:
                return "hidden", self.path
            return "not-here" if error.errno in LACKING else "unclear", errno.errorcode.get(error.errno, str(error))
        return "POSSIBLE", ""


def call(name, *args):
    """A system call; raises OSError when it is refused."""
    result = libc.syscall(NUMBERS[name], *(ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in args))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def reads(path):
    def attempt():
        with open(path, "rb") as file:
            file.read(1)
    return Way(attempt, path=path)


def lists(path):
    return Way(lambda: os.listdir(path), path=path)


def writes(path):
    def attempt():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    return attempt


def asks(name, *args):
    return lambda: call(name, *args)


def connects(family, kind, address):
    def attempt():
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
    if family == socket.AF_UNIX:  # the host listens on both; an abstract one that nobody has refuses
        return Way(attempt, {errno.ECONNREFUSED} if address[0] == "\0" else (), address)
    return Way(attempt, NOWHERE)


def opens(family, kind, protocol=0):
    return lambda: socket.socket(family, kind, protocol).close()


def makes_interface():
    """Asks the kernel for a dummy network interface."""
    name = b"\x0b\0\x03\0escape0\0"
    info = struct.pack("<HH", 4 + 10, 18 | 0x8000) + struct.pack("<HH", 10, 1) + b"dummy\0" + b"\0\0"
    body = struct.pack("<BxHiII", 0, 0, 0, 0, 0) + name + b"\0" + info
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.settimeout(2)
        s.bind((0, 0))
        s.send(struct.pack("<IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
        answer = s.recv(4096)
    code = struct.unpack_from("<i", answer, 16)[0]
    if code:
        raise OSError(-code, "netlink")


def kills_init():
    """Init of the jail may be signalled by one with its uid; it lives on all the same."""
    try:
        os.kill(1, 9)
    except PermissionError:
        raise
    os.kill(1, 0)
    raise OSError(errno.EPERM, "init lives")


def kills_others():
    os.kill(-1, 9)  # ESRCH: there is nobody else


def clones_user_namespace():
    pid = call("clone", NAMESPACES["user"] | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def executes_its_own():
    """A program that was not there: from memory, and from the only place that has inputs."""
    with open("/usr/bin/true", "rb") as file:
        text = file.read()
    with open("/in/true", "wb") as file:
        file.write(text)
    os.chmod("/in/true", 0o700)
    os.execv("/in/true", ["true"])


def gets_root_by_program():
    """A set-user-id program, if there is one, gives nothing."""
    pid = os.fork()
    if pid == 0:
        os.close(2)
        try:
            os.execv("/usr/bin/su", ["su", "-c", "true"])
        except OSError:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise OSError(errno.EPERM, "su")


def becomes_root():
    """In a namespace of one's own user 0 is nobody: what counts is what it may read."""
    os.setresuid(0, 0, 0)
    with open("/etc/shadow", "rb") as file:
        file.read(1)


def goes_real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def leaks_descriptor():
    """Descriptors beyond the three, the monitor's and what this program opened itself."""
    found = []
    for fd in range(4, 1024):  # before any attempt opens one
        try:
            os.fstat(fd)
            found.append(fd)
        except OSError:
            pass
    if not found:
        raise OSError(errno.EBADF, "none")
    print("open besides:", found, file=sys.stderr)


ATTEMPTS = {
    "a descriptor that was left": Way(leaks_descriptor, {errno.EBADF}),
    "read /etc/passwd": reads("/etc/passwd"),
    "read /proc/self/environ": reads("/proc/self/environ"),
    "read /proc/1/root": Way(lambda: os.listdir("/proc/1/root"), path="/proc/1"),
    "read /sys": reads("/sys/kernel/notes"),
    "list /run": lists("/run"),
    "list /": lists("/"),
    "list /dev": lists("/dev"),
    "leave by ..": lists("/../../../home"),
    "write /usr": writes("/usr/escape"),
    "write /in": writes("/in/escape"),
    "write /dev": writes("/dev/escape"),
    "write /": writes("/escape"),
    "make a directory": lambda: os.mkdir("/in/d"),
    "make a link": lambda: os.symlink("/etc", "/in/l"),
    "make a hard link": lambda: os.link("/usr/bin/true", "/in/true"),
    "rename": lambda: os.rename("/in/kernel", "/in/other"),
    "change a mode": lambda: os.chmod("/usr/bin/true", 0o4755),
    "change an owner": lambda: os.chown("/in/kernel", 0, 0),
    "execute its own file": executes_its_own,
    "make a block device": lambda: os.mknod("/in/b", 0o60600, os.makedev(8, 0)),
    "make a memory device": lambda: os.mknod("/dev/m", 0o20600, os.makedev(1, 1)),
    "open /dev/kvm": reads("/dev/kvm"),
    "open /dev/mem": reads("/dev/mem"),
    "open /dev/fuse": reads("/dev/fuse"),
    "mount a tmpfs": asks("mount", b"x", b"/in", b"tmpfs", 0, 0),
    "mount proc": asks("mount", b"x", b"/in", b"proc", 0, 0),
    "remount /usr": asks("mount", b"x", b"/usr", b"none", 32, 0),
    "unmount /usr": asks("umount2", b"/usr", 2),
    "pivot_root": asks("pivot_root", b".", b"."),
    "chroot": asks("chroot", b"/usr"),
    "open_tree": asks("open_tree", -100, b"/usr", 1),
    "fsopen": asks("fsopen", b"tmpfs", 0),
    "mount_setattr": asks("mount_setattr", -100, b"/usr", 0, struct.pack("<QQQQ", 1, 0, 0, 0), 32),
    # ENOSPC: of none that are allowed one more
    **{f"a new {name} namespace": Way(asks("unshare", flag), {errno.ENOSPC}) for name, flag in NAMESPACES.items()},
    "clone into a user namespace": Way(clones_user_namespace, {errno.ENOSPC}),
    "enter a namespace": lambda: call("setns", call("pidfd_open", 1, 0), NAMESPACES["net"]),
    "become root": Way(becomes_root, path="/etc/shadow"),
    "join a group": lambda: os.setgroups([0]),
    "root by a program": gets_root_by_program,
    "set capabilities": lambda: call("capset", bytes(struct.pack("<Ii", 0x20080522, 0)), bytes(b"\xff" * 24)),
    "trace init": asks("ptrace", 16, 1, 0, 0),
    "read init's memory": asks("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "take init's descriptor": lambda: call("pidfd_getfd", call("pidfd_open", 1, 0), 3, 0),
    "kill init": kills_init,
    "kill all others": Way(kills_others, {errno.ESRCH}),
    "bpf": asks("bpf", 0, 0, 0),
    "perf_event_open": asks("perf_event_open", 0, 0, -1, -1, 0),
    "io_uring": asks("io_uring_setup", 1, 0),
    "keyctl": asks("keyctl", 0, -3, 1),
    "add_key": asks("add_key", b"user", b"x", b"y", 1, -3),
    "request_key": asks("request_key", b"user", b"x", 0, -3),
    "kexec_load": asks("kexec_load", 0, 0, 0, 0),
    "kexec_file_load": asks("kexec_file_load", -1, -1, 0, 0, 0),
    "init_module": asks("init_module", 0, 0, 0),
    "delete_module": asks("delete_module", b"x", 0),
    "reboot": asks("reboot", 0xfee1dead, 672274793, 0, 0),
    "swapon": asks("swapon", b"/in/kernel", 0),
    "open_by_handle_at": asks("open_by_handle_at", -100, 0, 0),
    "userfaultfd": asks("userfaultfd", 0),
    "sethostname": asks("sethostname", b"x", 1),
    "settimeofday": asks("settimeofday", 0, 0),
    "iopl": asks("iopl", 3),
    "ioperm": asks("ioperm", 0x80, 1, 1),
    "modify_ldt": asks("modify_ldt", 1, 0, 0),
    "acct": asks("acct", b"/in/kernel"),
    "quotactl": asks("quotactl", 0, 0, 0, 0),
    "fanotify": asks("fanotify_init", 0, 0),
    "the kernel's log": asks("syslog", 3, 0, 0),
    "kcmp": asks("kcmp", 1, 1, 0, 0, 0),
    "network: the host": connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 22)),
    "network: beyond": connects(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)),
    "network: IPv6": connects(socket.AF_INET6, socket.SOCK_DGRAM, ("2001:db8::1", 53)),
    "network: packets": opens(socket.AF_PACKET, socket.SOCK_RAW, 0x300),
    "network: raw": opens(socket.AF_INET, socket.SOCK_RAW, 1),
    "network: an interface": makes_interface,
    "an abstract socket of the host": connects(socket.AF_UNIX, socket.SOCK_STREAM, "\0@escape-probe"),
    "a socket by its name": connects(socket.AF_UNIX, socket.SOCK_STREAM, sys.argv[1]),
    "raise a limit": asks("prlimit64", 0, 4, struct.pack("<QQ", 1, 1), 0),  # RLIMIT_CORE, which is 0
    "real time": goes_real_time,
    "higher priority": lambda: os.nice(-5),
}


def main():
    for name, way in ATTEMPTS.items():
        word, why = (way if isinstance(way, Way) else Way(way)).judge()
        print(word, f"{name}: {why}" if why else name)
    print(f"tried {len(ATTEMPTS)}", flush=True)


try:
    main()
except Exception as error:  # a probe that breaks off must not look like one that was denied
    print(f"the probe broke off: {error!r}", flush=True)
    sys.exit(1)
