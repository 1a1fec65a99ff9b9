"""The directory a test program has for itself ($TMPDIR), and what is done with what it leaves there.

Most suites get one in memory: they start hundreds of daemons, and each waits for the disk at each of its
commits. Nothing of that wait is proof: a killed process leaves the page cache behind, and what a power cut
leaves is the power suite's, which has a model of its own. The integration tests keep the disk: what a real
file system does with holes, direct I/O and fsync belongs to what they show."""
import glob
import os
import shutil
import tempfile

MEMORY = "/dev/shm"
NEEDED_BYTES = 2 << 30
CGROUPS = "/proc/self/mountinfo"


def in_memory():
    """Where temporary directories are in memory, or None: it is small in containers, and QEMU's direct I/O
    works there since Linux 6.6."""
    try:
        room = os.statvfs(MEMORY)
        with tempfile.NamedTemporaryFile(dir=MEMORY, prefix="vmmd-") as probe:
            os.close(os.open(probe.name, os.O_RDWR | os.O_DIRECT))
        return MEMORY if room.f_bavail * room.f_frsize >= NEEDED_BYTES else None
    except OSError:
        return None


def make(memory):
    """A new one. Its name is short: sockets lie below it."""
    path = tempfile.mkdtemp(prefix="vm-", dir=(in_memory() if memory else None))
    os.chmod(path, 0o755)  # the daemon's users go through it
    return path


def hash_of(text):
    """How vmmd names its cgroup: see vmmd/priv/leaf.c."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


def cgroup_mount():
    """Mount point of the first cgroup v2, or None."""
    with open(CGROUPS, encoding="utf-8") as f:
        for line in f:
            if " - cgroup2 " in line:
                return line.split(" ")[4]
    return None


def cgroup_mounts():
    """Mount points of all hierarchies, of both versions."""
    with open(CGROUPS, encoding="utf-8") as f:
        return [line.split(" ")[4] for line in f if " - cgroup" in line]


def remove_cgroups(path):
    """Those of the daemons that ran below 'path'; all their processes have ended."""
    mounts = cgroup_mounts()
    for run in glob.glob(f"{glob.escape(path)}/*/run") + glob.glob(f"{glob.escape(path)}/*/*/run"):
        name = f"vmmd-{hash_of(run):08x}"
        for folder in [f for m in mounts for f, _, _ in os.walk(f"{m}/{name}", topdown=False)]:
            try:
                os.rmdir(folder)
            except OSError:
                pass  # of a process that is just ending


def logs(path, most):
    """The last words of the daemons that ran below 'path', as text."""
    text = ""
    for log in sorted(glob.glob(f"{glob.escape(path)}/*/log")):
        with open(log, "rb") as f:
            f.seek(max(0, os.path.getsize(log) - most))
            text += f"\n--- {log}\n" + f.read().decode(errors="replace")
    return text


def remove(path):
    """All of it, whatever a test that was ended left in it."""
    remove_cgroups(path)
    shutil.rmtree(path, ignore_errors=True)
