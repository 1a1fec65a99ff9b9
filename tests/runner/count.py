"""Counts what test programs say of themselves: cmocka's summary, node's TAP summary, sanitizers."""
import re

SANITIZER = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error: |"
                       r"UndefinedBehaviorSanitizer:")

UNSOUND = re.compile(SANITIZER.pattern.replace("ERROR: LeakSanitizer|", ""))  # a story that is broken off leaks what it had
AGAIN = ("integration/", "contract", "browser")  # guests and browsers have times of their own, as the machine's neighbours do


class Count:
    """passed, failed, skipped tests and one line for every failure."""

    def __init__(self, passed=0, failed=0, skipped=0, why=()):
        self.passed, self.failed, self.skipped, self.why = passed, failed, skipped, list(why)
        self.unsound = False

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.why += other.why

    def fail(self, reason):
        self.failed += 1
        self.why.append(reason)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def cmocka(output):
    """Sums the groups of one program; cmocka names the failed and the skipped after the number."""
    def total(word):
        return sum(map(int, re.findall(rf"^\[\s*{word}\s*\] (\d+) test\(s\)", output, re.M)))
    count = Count(total("PASSED"), total("FAILED"), total("SKIPPED"))
    if not count.passed + count.failed + count.skipped:  # a program that cannot run here says so
        count.skipped = len(re.findall(r"^\[  SKIPPED \] \w+/\w+: \S", output, re.M))
    names = re.findall(r"^\[  FAILED  \] (?!\d+ test)(\S+)$", output, re.M)
    count.why = list(dict.fromkeys(names))
    return count


def tap(output):
    """The summary that ends node's TAP output."""
    def total(word):
        return sum(map(int, re.findall(rf"^# {word} (\d+)$", output, re.M)))
    count = Count(total("pass"), total("fail") + total("cancelled"), total("skipped") + total("todo"))
    for m in re.finditer(r"^\s*not ok \d+ - (.*)$", output, re.M):
        diagnosis = output[m.end():].split("\n ...", 1)[0].split("...\n", 1)[0]
        if "type: 'suite'" not in diagnosis:  # a suite that failed because of its tests is not one more
            count.why.append(m.group(1))
    return count


def script(output, status):
    """A shell script is one test; 77 means skipped, with the last line as the reason."""
    if status == 77:
        return Count(skipped=1)
    return Count(passed=1) if status == 0 else Count(failed=1, why=[(output.strip().splitlines() or [""])[-1]])


def may_run_again(name, count):
    """Never after a race, a bad access or a crash, which come by chance and are there all the same."""
    return bool(count.failed) and not count.unsound and name.startswith(AGAIN)


def judge(name, outcome, count):
    """Adds what the program does not say of itself: crashes, time limits, sanitizers, stragglers."""
    count.why = [f"{name}: {why}" for why in count.why]
    if outcome.timed_out:
        count.fail(f"{name}: the time limit passed")
    elif outcome.status < 0:
        count.fail(f"{name}: ended by signal {-outcome.status}")
    elif outcome.status and not count.failed:
        count.fail(f"{name}: exit status {outcome.status}")
    elif not outcome.status and not (count.passed or count.failed or count.skipped):
        count.fail(f"{name}: ran no test")
    count.unsound = bool(UNSOUND.search(outcome.output) or (outcome.left and not outcome.timed_out)) or (outcome.status or 0) < 0
    if SANITIZER.search(outcome.output):
        count.fail(f"{name}: a sanitizer reports an error")
    if outcome.left:
        count.fail(f"{name}: left processes behind: {', '.join(outcome.left)}")
    return count
