"""Lints that ask a tool. Each is a generator of findings (path, line, sentence); a tool that is not
installed raises Missing, which counts as skipped with the reason."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess

CPPCHECK = ["--enable=warning,portability,performance", "--std=c11", "--inline-suppr", "--quiet",
            "--suppress=missingIncludeSystem", "--suppress=missingInclude", "--suppress=unknownMacro",
            "--suppress=normalCheckLevelMaxBranches", "--suppress=invalidPrintfArgType_sint",
            "--suppress=invalidPrintfArgType_uint", "--suppress=internalAstError", "--suppress=comparePointers",
            "--suppress=uninitvar",  # it takes uthash's loops amiss; gcc and the sanitizers see to it
            "-D_GNU_SOURCE", "-D__attribute__(x)=", "-DVMMD_FAILPOINTS=1", '-DVMMD_VERSION="0"',
            "--template={file}:{line}: {message} [{id}]"]


class Missing(Exception):
    """The tool is not here."""


def _tool(name, package):
    path = shutil.which(name)
    if not path:
        raise Missing(f"{name} is not installed: apt-get install {package}")
    return path


def _run(args, root):
    done = subprocess.run(args, cwd=root, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, done.stdout + done.stderr


def _run_halves(args, names, root):
    """For a tool that uses one processor: [(status, output)] of its two runs."""
    halves = [h for h in (names[0::2], names[1::2]) if h]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda h: _run([*args, *h], root), halves))


def _parse(output, root, pattern):
    seen = set()
    for line in output.splitlines():
        m = re.match(pattern, line)
        if m and m.groups() not in seen:
            seen.add(m.groups())
            path = os.path.relpath(os.path.join(root, m.group(1)), root)
            yield path, int(m.group(2)), m.group(3)


def clang_format(tree):
    """Sources are formatted as .clang-format says (tests/lint/run --fix does it)."""
    tool, names = _tool("clang-format", "clang-format"), tree.sources()
    if not names:
        return
    outcomes = _run_halves([tool, "--dry-run", "-Werror", "--ferror-limit=0"], names, tree.root)
    lines = {(m[0], int(m[1])) for _, out in outcomes for m in re.findall(r"^(.+?):(\d+):\d+: error", out, re.M)}
    for path, line in sorted(lines):
        yield path, line, "not formatted: run tests/lint/run --fix"
    for code, out in outcomes:
        if code and not lines:
            yield ".clang-format", 1, out.strip().splitlines()[0]


def cppcheck(tree):
    """cppcheck finds nothing."""
    tool, names = _tool("cppcheck", "cppcheck"), tree.sources()
    if not names:
        return
    _, out = _run([tool, *CPPCHECK, "-j2", f"-I{tree.root}", *names], tree.root)
    yield from _parse(out, tree.root, r"^([^:\s]+):(\d+): (.*)$")


def clang_tidy(tree):
    """clang-tidy finds nothing (the profile is .clang-tidy; needs a configured build directory)."""
    tool = _tool("clang-tidy", "clang-tidy")
    build = os.environ.get("VMMD_TIDY_BUILD", os.path.join(tree.root, "build/dev"))
    commands = os.path.join(build, "compile_commands.json")
    if not os.path.exists(commands):
        raise Missing("no compile_commands.json: configure the preset dev or set VMMD_TIDY_BUILD")
    with open(commands, encoding="utf-8") as f:
        known = {os.path.relpath(e["file"], tree.root) for e in json.load(f)}
    names = [n for n in tree.sources() if n in known and not n.startswith("tests/")]
    for _, out in _run_halves([tool, "--quiet", "-p", build], names, tree.root):
        yield from _parse(out, tree.root, r"^(\S+?):(\d+):\d+: (?:warning|error): (.*)$")


def shellcheck(tree):
    """Shell scripts pass shellcheck."""
    tool = _tool("shellcheck", "shellcheck")
    names = [n for n in tree.files
             if n.endswith((".sh", ".bash")) or ("." not in os.path.basename(n) and
                                                 re.match(r"#!.*\b(ba|da)?sh\b", tree.text(n)[:40]))]
    if names:
        _, out = _run([tool, "-S", "warning", "-f", "gcc", *names], tree.root)  # in one: they source each other
        yield from _parse(out, tree.root, r"^([^:\s]+):(\d+):\d+: (.*)$")


# What the units run that only an installation puts there.
INSTALLED = {"/usr/bin/vmmctl", "/usr/libexec/vmmd/vmmd", "/usr/libexec/vmmd/vmmd-hold"}


def units(tree):
    """systemd takes the unit files; guests are brought down while the service can be asked."""
    tool = _tool("systemd-analyze", "systemd")
    names = {os.path.basename(n): n for n in tree.files if n.startswith("packaging/systemd/")}
    if not names:
        return
    _, out = _run([tool, "verify", "--man=no", *names.values()], tree.root)
    for line in out.splitlines():
        m = re.match(r"^(\S+?)(?::(\d+))?: (.*)$", line)
        if not m or os.path.basename(m[1]) not in names:
            continue  # of the host's own units
        absent = re.match(r"Command (\S+) is not executable: No such file", m[3])
        if not absent or absent[1] not in INSTALLED:
            yield names[os.path.basename(m[1])], int(m[2] or 1), m[3]
    last = names.get("vmmd-guests.service")
    if last and not re.search(r"^After=(.* )?vmmd\.service\b", tree.text(last), re.M):
        yield last, 1, "is not After=vmmd.service: systemd would stop the service before the guests"


TOOL_LINTS = [clang_format, cppcheck, clang_tidy, shellcheck, units]


def fix(tree):
    """Formats every source; joins CLEANUP() with its declaration, which clang-format leaves apart."""
    tool = _tool("clang-format", "clang-format")
    for name in tree.sources():
        path = os.path.join(tree.root, name)
        old = tree.text(name)
        joined = re.sub(r"(CLEANUP\(\w+\))\n\s+", r"\1 ", old)
        new = subprocess.run([tool, f"--assume-filename={path}"], input=joined, capture_output=True, text=True,
                             check=True).stdout
        if new != old:
            print(f"formatted {name}")
            with open(path, "w", encoding="utf-8") as f:
                f.write(new)
