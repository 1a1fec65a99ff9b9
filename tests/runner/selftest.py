"""Tries the runner on programs that pass, fail, crash, hang, leave processes behind or say nothing: a
runner that cannot fail is worthless."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
import count as counting
import scratch
import supervise

GOOD = "[==========] Running 2 test(s).\\n[  PASSED  ] 2 test(s).\\n"
BAD = "[  PASSED  ] 1 test(s).\\n[  FAILED  ] 1 test(s), listed below:\\n[  FAILED  ] a_test\\n"

# shell script, (passed, failed, skipped), word in the reason
CASES = [
    (f"printf '{GOOD}'", (2, 0, 0), ""),
    (f"printf '{GOOD}[  SKIPPED ] 1 test(s), listed below:\\n'", (2, 0, 1), ""),
    (f"printf '{BAD}'; exit 1", (1, 1, 0), "a_test"),
    (f"printf '{GOOD}'; exit 3", (2, 1, 0), "exit status 3"),
    (f"printf '{GOOD}'; kill -SEGV $$", (2, 1, 0), "signal 11"),
    (f"printf '{GOOD}'; exec sleep 60", (2, 1, 0), "time limit"),
    (f"printf '{GOOD}'; sleep 60 & exit 0", (2, 1, 0), "sleep"),
    (f"printf '{GOOD}'; (setsid sh -c 'exec sleep 60' &); exit 0", (2, 1, 0), "sleep"),
    (f"printf '{GOOD}'; echo '==1==ERROR: AddressSanitizer: heap-use-after-free'", (2, 1, 0), "sanitizer"),
    ("true", (0, 1, 0), "ran no test"),
    ("echo '[  SKIPPED ] integration/x: not built'", (0, 0, 1), ""),
    ("exec /does/not/exist", (0, 1, 0), "exit status 127"),
]


def check(script, expected, word):
    """What is wrong, or None."""
    with tempfile.NamedTemporaryFile(prefix="vmmd-selftest-") as log:
        outcome = supervise.run(["/bin/sh", "-c", script], dict(os.environ), "/", 2, log.name)
    count = counting.judge("x", outcome, counting.cmocka(outcome.output))
    if (count.passed, count.failed, count.skipped) != expected or word not in " ".join(count.why):
        return f"'{script[-40:]}': {count}, {count.why}"
    return None


def check_again():
    """A wait that ran out beside other programs may be tried again; what a sanitizer saw, never."""
    class Outcome:
        timed_out, left = False, []

        def __init__(self, status, output):
            self.status, self.output = status, output

    asked = [("integration/x", 1, BAD, True), ("unit/x", 1, BAD, False), ("integration/x", 0, GOOD, False), ("integration/x", -11, GOOD, False),
             ("contract", 1, BAD + "==1==ERROR: LeakSanitizer: detected", True), ("integration/x", 66, BAD + "WARNING: ThreadSanitizer: data race", False)]
    for name, status, output, expected in asked:
        outcome = Outcome(status, output.replace("\\n", "\n"))
        if counting.may_run_again(name, counting.judge(name, outcome, counting.cmocka(outcome.output))) != expected:
            return f"{name} with status {status} runs {'not ' if expected else ''}again"
    return None


def check_scratch():
    """What a daemon that was ended left goes: its files and its cgroup."""
    path, mount = scratch.make(True), scratch.cgroup_mount()
    run = f"{path}/vmmd-test-x/run"
    os.makedirs(run)
    with open(f"{path}/vmmd-test-x/log", "w", encoding="utf-8") as f:
        f.write("its last words")
    base = f"{mount}/vmmd-{scratch.hash_of(run):08x}"
    if mount and os.access(mount, os.W_OK):
        os.makedirs(f"{base}/vm-1")
    said = scratch.logs(path, 5)
    scratch.remove(path)
    if not said.endswith("words") or os.path.exists(path) or os.path.exists(base):
        return f"the daemon's log gives {said!r}; left are {[p for p in (path, base) if os.path.exists(p)]}"
    return None


def main():
    """Prints TAP."""
    os.environ["VMMD_SUPERVISE_GRACE_S"] = "1"
    wrong = [w for w in (check(*case) for case in CASES) if w]
    tap = counting.tap("ok 1 - a\nnot ok 2 - b\n# pass 4\n# fail 1\n# cancelled 0\n# skipped 2\n# todo 0\n")
    if (tap.passed, tap.failed, tap.skipped, tap.why) != (4, 1, 2, ["b"]):
        wrong.append(f"node's summary is read wrongly: {tap}")
    wrong += [w for w in (check_again(),) if w]
    if scratch.hash_of("/run/vmmd") != 0xdeb4eea4:
        wrong.append(f"vmmd's cgroup for /run/vmmd is taken to be {scratch.hash_of('/run/vmmd'):08x}")
    wrong += [w for w in (check_scratch(),) if w]
    for reason in wrong:
        print(f"not ok 1 - {reason}")
    print(f"# pass {len(CASES) + 4 - len(wrong)}\n# fail {len(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
