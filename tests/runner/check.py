"""./check after its packages are there: builds, runs every suite, counts every test, keeps the time.

  ./check                 everything (the budget is 20 minutes on 2 cores)
  ./check --quick         lint and unit
  ./check STAGE...        lint unit store core fault power integration contract browser tsan fuzz release
  ./check SUITE/NAME...   one test program, e.g. unit/base_err
  VMMD_SLOW=1 ./check …   also builds the guests that take minutes (tools/guest/build-slim)
  -v                      print the output of every test, not only of failed ones

A program with real guests or browsers (integration, contract, browser) that failed beside others is run once more, alone. What
passes then is no failure but UNSTEADY, and is listed at the end with what it said. No second run for a sanitizer's report.

The last line is "N passed, M failed, K skipped"; the exit status is 0 when nothing failed."""
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import count as counting
import scratch
import supervise

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITES = ["unit", "store", "core", "fault", "power", "integration"]
STAGES = ["lint", *SUITES, "contract", "browser", "tsan", "fuzz", "release"]
QUICK = ["lint", "unit"]
# One stage: while one waits for its guest, or for the one client it has, another one works.
TOGETHER = ("core", "fault", "power", "integration", "contract")
LONGEST = ("fault/kills_random", "power/cuts", "fault/walk_power", "fault/vm_kills", "fault/vm_walk", "fault/walk_life", "fault/walk_live",
           "fault/walk_tree", "fault/walk_move", "integration/machine", "integration/vm", "integration/disks", "integration/input",
           "fault/clone_walk", "fault/memory_walk", "integration/many", "fault/save_walk", "contract", "core/many", "core/events")
PARALLEL = {"unit": 2, "store": 2, "core": 2, "power": 3, "fault": 4, "integration": 3, "contract": 3}  # the last ones wait
TSAN_PARALLEL = 3  # timers and threads that wait
PATIENCE = 3  # times a program's limit on a quiet machine: other machines' neighbours are noisy, and only what hangs takes all of it
ON_DISK = ("integration/",)  # all others have their files in memory: see scratch.py
PROGRAMS = ["vmmd", "vmmd-front", "vmmd-main", "vmmd-worker", "vmmd-jail", "vmmd-split", "vmmd-pack", "vmmd-inspect",
            "vmmd-kvmtest", "vmmd-preload", "vmmctl"]
FUZZ_TOTAL_S = int(os.environ.get("VMMD_FUZZ_S", "120"))


class Run:
    """One run of ./check: what was asked for, what came out of it."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.total = counting.Count()
        self.times = []
        self.logs = tempfile.mkdtemp(prefix="vmmd-check-")
        os.chmod(self.logs, 0o1777)  # the daemon's users write their sanitizer reports here
        self.built = {}
        self.put_off, self.unsteady = [], []

    def stage(self, name, function, *args):
        print(f"== {name}", flush=True)
        start, result = time.monotonic(), counting.Count()
        try:
            function(*args, result)
            self.second_runs(result)
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as why:
            result.fail(f"{name}: {why}")
        seconds = time.monotonic() - start
        self.times.append((name, seconds, str(result)))
        self.total.add(result)
        print(f"== {name}: {result} in {seconds:.0f} s", flush=True)

    def environment(self, log):
        env = dict(os.environ)
        options = f"log_path={log}.san:log_exe_name=1"
        # daemons are started by the thousand: a process that lives for a second fills no large quarantine
        brief = ":malloc_context_size=8:quarantine_size_mb=16:thread_local_quarantine_size_kb=256" if os.path.basename(log).startswith("fault-") else ""
        env.update(ASAN_OPTIONS=f"{options}:detect_leaks=1:allocator_may_return_null=1:abort_on_error=0{brief}",
                   UBSAN_OPTIONS=f"{options}:print_stacktrace=1",
                   TSAN_OPTIONS=f"{options}:halt_on_error=0:exitcode=66:suppressions={ROOT}/tests/tsan.supp",
                   CMOCKA_TEST_ABORT="0", LC_ALL="C.UTF-8", TZ="UTC")
        return env

    def program(self, name, args, timeout_s, parse, result, extra=None, cwd=ROOT):
        """Runs one test program and adds what it counts, or puts that off until it can run alone."""
        def once(suffix=""):
            return self.run_program(name + suffix, name, args, timeout_s, parse, extra, cwd)
        found = once()
        if counting.may_run_again(name, found):
            self.put_off.append((found, once))
        else:
            result.add(found)

    def second_runs(self, result):
        """Of what failed beside others: the second count is what counts."""
        while self.put_off:
            first, once = self.put_off.pop(0)
            second = once(" alone")
            result.add(second)
            if not second.failed:
                self.unsteady += first.why

    def run_program(self, title, name, args, timeout_s, parse, extra, cwd):
        log = os.path.join(self.logs, re.sub(r"[/: ]", "-", title) + ".log")  # no colon: it ends up in TSAN_OPTIONS
        env = self.environment(log)
        env.update(extra or {})
        env["TMPDIR"] = scratch.make(not name.startswith(ON_DISK))
        outcome = supervise.run(args, env, cwd, timeout_s, log)
        for report in sorted(glob.glob(glob.escape(log) + ".san*")):
            with open(report, encoding="utf-8", errors="replace") as f:
                outcome.output += f"\n--- {os.path.basename(report)}\n{f.read()}"
        found = counting.judge(title, outcome, parse(outcome))
        if found.failed:
            with open(f"{log}.daemons", "w", encoding="utf-8") as f:
                f.write(scratch.logs(env["TMPDIR"], 1 << 20))
        scratch.remove(env["TMPDIR"])
        if found.failed or self.verbose:
            print(f"--- {title}\n{tail(outcome.output, 20000 if self.verbose else 6000)}", flush=True)
        print(f"   {title}: {found} ({outcome.seconds:.1f} s, {outcome.cpu_s:.1f} s of CPU)", flush=True)
        for why in found.why:
            print(f"   FAILED {why}", flush=True)
        return found

    def build(self, preset, result, targets=()):
        """Configures and builds a preset once; False when it failed, which counts."""
        key = (preset, tuple(targets))
        if key in self.built or (preset, ()) in self.built:
            ok = self.built.get(key, self.built.get((preset, ())))
            if not ok:
                result.fail(f"not run, since build/{preset} failed")
            return ok
        start = time.monotonic()
        log = os.path.join(self.logs, f"build-{preset}.log")
        with open(log, "w", encoding="utf-8") as out:
            ok = all(subprocess.run(args, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False).returncode == 0
                     for args in (["cmake", "--preset", preset],
                                  ["cmake", "--build", f"build/{preset}", "--", "-j2", "-k0", *targets]))
        with open(log, encoding="utf-8", errors="replace") as text:
            output = text.read()
        warnings = re.findall(r"^\S+:\d+:\d+: (?:warning|error): .*$", output, re.M)
        if not ok or warnings:
            print("\n".join(dict.fromkeys(warnings)) or tail(output, 4000))
            result.fail(f"build/{preset}: {'does not build' if not ok else f'{len(warnings)} warnings'}")
        else:
            result.passed += 1
        print(f"   build/{preset}: {'ok' if ok else 'FAILED'} ({time.monotonic() - start:.0f} s)", flush=True)
        self.built[key] = ok
        return ok

    def tests_of(self, preset):
        """[(name, label, args, timeout, environment)] that ctest knows."""
        out = subprocess.run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"], cwd=ROOT,
                             capture_output=True, text=True, check=True).stdout
        for test in json.loads(out)["tests"]:
            properties = {p["name"]: p["value"] for p in test.get("properties", [])}
            env = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
            yield (test["name"], test["name"].split("/")[0], test.get("command"),
                   properties.get("TIMEOUT", 300), env)

    def guest(self, result):
        """The guest that integration tests boot: made from Debian's packages, kept in a cache."""
        if "VMMD_GUEST_DIR" in os.environ:
            return
        build = [f"{ROOT}/tools/guest/build-tiny"]
        made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
        if made.returncode and os.geteuid() == 0:  # apt's lists may be missing or old
            subprocess.run(["apt-get", "-qq", "update"], check=False)
            made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
        if made.returncode:
            result.fail(f"tools/guest/build-tiny: {made.stderr.strip()}")
        else:
            os.environ["VMMD_GUEST_DIR"] = os.path.dirname(made.stdout.strip())
            self.more_guests()

    def more_guests(self):
        """What single stories boot besides; they say so and go without when it cannot be had."""
        builds = [[f"{ROOT}/tools/guest/build-disk"], [f"{ROOT}/tools/guest/build-tiny", "--arch", "i386"]]
        if "VMMD_SLOW" in os.environ:
            builds.append([f"{ROOT}/tools/guest/build-slim"])
        for build in builds:
            made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
            if made.returncode:
                print(f"   {' '.join(build)}: {made.stderr.strip()}", flush=True)

    def suite(self, preset, wanted, result, name_filter=None):
        """Runs the programs of the suites 'wanted' in a built preset."""
        if "integration" in wanted:
            self.guest(result)
        chosen = [t for t in self.tests_of(preset) if t[1] in wanted and (not name_filter or t[0] in name_filter)]
        if "contract" in wanted:
            chosen.append(("contract",) + (None,) * 4)
        order = {name: i for i, name in enumerate(LONGEST)}
        chosen.sort(key=lambda t: order.get(t[0], len(order)))  # what takes long must not begin last
        slow_factor = PATIENCE * (4 if preset == "tsan" else 1)
        prefix = "tsan:" if preset == "tsan" else ""

        def one(test):
            name, _, args, timeout, env = test
            part = counting.Count()
            if name == "contract":
                self.contract_program(part)
            elif args and os.path.exists(args[0]):
                self.program(prefix + name, args, timeout * slow_factor,
                             lambda o: counting.cmocka(o.output), part, env)
            else:
                part.fail(f"{prefix}{name}: was not built")
            return part
        workers = TSAN_PARALLEL if preset == "tsan" else max((PARALLEL.get(label, 1) for label in wanted), default=1)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for part in pool.map(one, chosen):
                result.add(part)

    # ---- stages ----
    def lint(self, result):
        self.program("lint/runner", [sys.executable, f"{ROOT}/tests/runner/selftest.py"], 60,
                     lambda o: counting.tap(o.output), result)
        subprocess.run(["cmake", "--preset", "dev"], cwd=ROOT, capture_output=True, check=False)
        done = subprocess.run([f"{ROOT}/tests/lint/run", "-v"], cwd=ROOT, capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr)
        m = re.search(r"^lint: (\d+) passed, (\d+) failed, (\d+) skipped$", done.stdout, re.M)
        if m:
            names = re.findall(r"^FAILED (lint/\w+)", done.stdout, re.M)
            result.add(counting.Count(int(m.group(1)), int(m.group(2)), int(m.group(3)), names))
        else:
            result.fail("lint: the runner broke")

    def suites(self, wanted, result):
        """Suites of the dev build, their programs mixed: while one waits for a guest another one has the processor."""
        if self.build("dev", result):
            self.suite("dev", wanted, result)
            for suite in wanted:
                self.scripts(suite, result)

    def scripts(self, suite, result, names=None):
        for path in sorted(glob.glob(f"{ROOT}/tests/{suite}/*.sh")):
            name = f"{suite}/{os.path.basename(path)[:-3]}"
            if not names or name in names:
                self.program(name, ["/bin/bash", path], 600 * PATIENCE, lambda o: counting.script(o.output, o.status or 0), result,
                             {"VMMD_BIN": f"{ROOT}/build/dev", "VMMD_SRC": ROOT})

    def contract_program(self, result):
        folder = f"{ROOT}/tests/contract"
        if not os.path.exists(f"{ROOT}/build/dev/vmmd-main"):
            result.skipped += 1
            print("   skipped contract: there is no vmmd-main yet")
            return
        stamp, lock = f"{folder}/node_modules/.package-lock.json", f"{folder}/package-lock.json"
        if not os.path.exists(stamp) or os.path.getmtime(stamp) < os.path.getmtime(lock):
            try:
                subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
            except (OSError, subprocess.SubprocessError) as why:
                result.fail(f"contract: {why}")
                return
        self.program("contract", ["node", "--test", "--test-reporter=tap", "bad.test.mjs", "models.test.mjs", "contract.test.mjs", "metrics.test.mjs", "crowd.test.mjs"], 360 * PATIENCE,
                     lambda o: counting.tap(o.output), result,
                     {"VMMD_BIN": f"{ROOT}/build/dev", "VMMD_SRC": ROOT}, cwd=folder)

    def browser(self, result):
        if self.build("dev", result):
            self.program("browser", ["sh", f"{ROOT}/tests/browser/run"], 240 * PATIENCE, lambda o: counting.tap(o.output), result,
                         {"VMMD_BIN": f"{ROOT}/build/dev", "REPORTER": "tap"})

    def tsan(self, result):
        suites = ["unit", "store", "core"]
        subprocess.run(["cmake", "--preset", "tsan"], cwd=ROOT, capture_output=True, check=False)
        names = [t[0] for t in self.tests_of("tsan") if t[1] in suites]
        targets = PROGRAMS + ["test_" + name.replace("/", "_") for name in names]  # the others are not run
        if self.build("tsan", result, targets):
            self.suite("tsan", suites, result)

    def fuzz(self, result):
        sources = sorted(glob.glob(f"{ROOT}/tests/fuzz/*.c"))
        names = ["fuzz_" + os.path.basename(s)[:-2] for s in sources]
        if not self.build("fuzz", result, names):
            return

        def one(name):
            part = counting.Count()
            corpus = f"{ROOT}/tests/fuzz/corpus/{name[5:]}"
            with tempfile.TemporaryDirectory(prefix="vmmd-fuzz-") as fresh:
                args = [f"{ROOT}/build/fuzz/tests/fuzz/{name}", fresh, *([corpus] if os.path.isdir(corpus) else []),
                        f"-max_total_time={max(5, FUZZ_TOTAL_S // len(names))}", "-rss_limit_mb=1024", "-timeout=10",
                        "-print_final_stats=1", f"-artifact_prefix={self.logs}/"]
                self.program(f"fuzz/{name[5:]}", args, 180 * PATIENCE,
                             lambda o: counting.Count(1 if o.status == 0 else 0), part)
            return part
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for part in pool.map(one, names):
                result.add(part)

    def release(self, result):
        self.build("release", result)

    def named(self, names, result):
        programs = [n for n in names if os.path.exists(f"{ROOT}/tests/{n}.c")]
        if programs:
            targets = ["test_" + n.replace("/", "_") for n in programs]
            if any(not n.startswith("unit/") for n in programs):
                targets = []
            if self.build("dev", result, targets):
                self.suite("dev", {n.split("/")[0] for n in programs}, result, set(programs))
        for name in set(names) - set(programs):
            if os.path.exists(f"{ROOT}/tests/{name}.sh"):
                self.scripts(name.split("/")[0], result, {name})
            else:
                result.fail(f"{name}: there is no such test or stage")


def tail(text, most):
    return text if len(text) <= most else "…\n" + text[-most:]


def grouped(stages):
    """The stages in their order, those that run together as one."""
    done = []
    for stage in stages:
        group = [s for s in TOGETHER if s in stages] if stage in TOGETHER else [stage]
        if group not in done:
            done.append(group)
    return done


def main(arguments):
    flags = {a for a in arguments if a.startswith("-")}
    if flags - {"-v", "--verbose", "--quick"}:
        print(__doc__)
        return 0 if flags & {"-h", "--help"} else 64
    wanted = [a for a in arguments if not a.startswith("-")] or (QUICK if "--quick" in flags else STAGES)
    run = Run(bool(flags & {"-v", "--verbose"}))
    functions = {"lint": run.lint, "browser": run.browser, "tsan": run.tsan, "fuzz": run.fuzz,
                 "release": run.release}
    for group in grouped([s for s in STAGES if s in wanted]):
        name = ", ".join(group)
        if group[0] in SUITES or group == ["contract"]:
            run.stage(name, run.suites, group)
        else:
            run.stage(name, functions[group[0]])
    names = [n for n in wanted if n not in STAGES]
    if names:
        run.stage("named", run.named, names)
    print("\n== time")
    for name, seconds, text in run.times:
        print(f"   {name:<26} {seconds:6.0f} s   {text}")
    if run.total.failed or run.unsteady:
        print(f"   logs: {run.logs}")
    else:
        shutil.rmtree(run.logs, ignore_errors=True)
    for why in run.unsteady:
        print(f"UNSTEADY {why}")
    for why in run.total.why:
        print(f"FAILED {why}")
    print(run.total)
    return 1 if run.total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
