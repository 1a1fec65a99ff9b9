"""Runs one test program so that nothing of it survives: a process of its own becomes the reaper of all
the program's descendants (as init would be), waits for the program, gives stragglers a moment to leave,
ends what is left by its id and says what it was. A straggler is a failure: the product promises to
leave none. Processes of other people on the same machine do not come into it."""
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = float(os.environ.get("VMMD_SUPERVISE_GRACE_S", "8"))


class Outcome:
    """status: exit status, negative for a signal; output: both streams; left: names of stragglers; cpu_s:
    what it and all below it used of the processors, which a busy machine changes less than the time."""

    def __init__(self, status, output, left, timed_out, seconds, cpu_s=0.0):
        self.status, self.output, self.left = status, output, left
        self.timed_out, self.seconds, self.cpu_s = timed_out, seconds, cpu_s


def _parents():
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    text = f.read()
            except OSError:
                continue
            fields = text[text.rindex(")") + 2:].split()
            if fields[0] != "Z":
                found[int(entry)] = (int(fields[1]), text[text.index("(") + 1:text.rindex(")")])
    return found


def descendants(pid):
    """{pid: name} of every living process below 'pid'."""
    table, below = _parents(), {}
    grown = True
    while grown:
        grown = False
        for child, (parent, name) in table.items():
            if child not in below and (parent == pid or parent in below):
                below[child] = name
                grown = True
    return below


def _kill_below():
    while True:
        below = descendants(os.getpid())
        if not below:
            return
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _reap_for(0.2)


def _reap_for(seconds):
    """Reaps until nothing is left or the time is over; True when nothing is left."""
    end = time.monotonic() + seconds
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)


class _Timeout(Exception):
    pass


def _on_alarm(_signal, _frame):
    raise _Timeout


def _wait_for(program, timeout_s):
    """Blocking reaper: status of 'program', None when the time is over."""
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.alarm(int(timeout_s))
    try:
        while True:
            pid, status = os.wait()
            if pid == program:
                return os.waitstatus_to_exitcode(status)
    except _Timeout:
        return None
    finally:
        signal.alarm(0)


def _start(args, output):
    program = os.fork()
    if program == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.execvp(args[0], args)
        except OSError as why:
            os.write(2, f"{args[0]}: {why}\n".encode())
        os._exit(127)
    return program


def supervise(timeout_s, log_path, args):
    """The supervising process: runs 'args', prints the report as JSON."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    output = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    program = _start(args, output)
    status = _wait_for(program, timeout_s)
    left = {}
    if status is None or not _reap_for(GRACE_S):
        left = descendants(os.getpid())
        _kill_below()
    if status is None:
        left = {}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"status": status, "cpu_s": used.ru_utime + used.ru_stime, "left": sorted(f"{name} ({pid})" for pid, name in left.items())}))


def run(args, env, cwd, timeout_s, log_path):
    """Runs 'args' to its end below a supervising process; the output goes to 'log_path' and comes back."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, os.path.abspath(__file__), str(int(timeout_s)), log_path, *args],
                          env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          start_new_session=True, check=False)
    result = json.loads(done.stdout) if done.returncode == 0 and done.stdout else {"status": 70, "left": []}
    with open(log_path, encoding="utf-8", errors="replace") as log:
        output = log.read()
    return Outcome(result["status"], output, result["left"], result["status"] is None, time.monotonic() - start,
                   result.get("cpu_s", 0.0))


if __name__ == "__main__":
    supervise(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
