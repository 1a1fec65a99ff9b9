"""The rules a compiler does not know. Each lint is a generator of findings (path, line, sentence)
over a Tree; tests/lint/run calls them, tests/lint/selftest.py shows each of them a bad sample.

The first sentence of a lint's docstring is what it demands."""
import codecs
import os
import re
import subprocess

# ---- which room may include which: the one table -------------------------------------------------
# The longest matching prefix names the room of a file; the value lists what it may include.
BASE, MODEL, PORT = ("core/base/",), ("core/base/", "core/model/"), ("core/base/", "core/model/", "core/port/")
LAYERS = {
    "core/base/": BASE,
    "core/model/": MODEL,
    "core/inspect/": BASE + ("core/inspect/",),
    "core/port/": PORT,
    "core/": ("core/",),
    "store/": PORT + ("store/",),
    "net/": PORT + ("net/",),
    "backends/": PORT + ("backends/",),
    "api/": ("core/", "api/"),
    "vmmd/config/": BASE + ("vmmd/config/",),
    "vmmd/filter/": BASE + ("vmmd/filter/",),
    "vmmd/main/": ("core/", "api/", "store/", "net/", "backends/", "vmmd/"),
    "vmmd/preload/": ("backends/qemu/preload.h", "vmmd/preload/"),
    "vmmd/": PORT + ("net/", "backends/qemu/worker_wire.h", "backends/qemu/preload.h", "backends/qemu/pack_wire.h", "backends/qemu/inspect_wire.h", "vmmd/"),
    "cli/": MODEL + ("core/inspect/", "backends/qemu/kvm_verdict.h", "vmmd/config/config.h", "cli/"),
    "tests/": ("",),
    "bench/": ("",),
    "tools/": ("",),
}

FUNCTION_LINES, SOURCE_LINES, HEADER_LINES = 70, 600, 250


class Tree:
    """The files of a checkout: what git knows or would add."""

    def __init__(self, root):
        self.root = root
        out = subprocess.run(["git", "-C", root, "ls-files", "-coz", "--exclude-standard"],
                             capture_output=True, check=False).stdout.decode()
        names = set(filter(None, out.split("\0")))
        if not names:  # an unpacked archive
            names = {os.path.relpath(os.path.join(d, f), root) for d, _, fs in os.walk(root) for f in fs}
            names = {n for n in names if not re.match(r"build|run/|(.*/)?(\.git|\.cache)/", n)}
        names = {n for n in names if "node_modules/" not in n}
        self.files = sorted(n for n in names if os.path.isfile(os.path.join(root, n)))
        self.cache = {}

    def text(self, name):
        if name not in self.cache:
            with open(os.path.join(self.root, name), "rb") as f:
                self.cache[name] = f.read().decode("utf-8", "replace")
        return self.cache[name]

    def lines(self, name):
        return enumerate(self.text(name).split("\n"), 1)

    def sources(self, *prefixes):
        return [n for n in self.files
                if n.endswith((".c", ".h")) and n.startswith(prefixes or ("",))]

    def texts(self):
        binary = (".png", ".gz", ".ico", ".woff2", ".bin", ".seed")
        return [n for n in self.files if not n.endswith(binary) and "/corpus/" not in n]


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def room_of(name):
    return max((p for p in LAYERS if name.startswith(p)), key=len, default=None)


def layers(tree):
    """Includes follow the direction of the rooms and are written from the root."""
    for name in tree.sources():
        room = room_of(name)
        for number, line in tree.lines(name):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            target = m.group(1)
            if not room:
                yield name, number, f"this folder has no room in tests/lint/rules.py, so it cannot include {target}"
            elif "/" not in target or target.startswith("."):
                yield name, number, f'write "{target}" from the root, as in "core/base/err.h"'
            elif not target.startswith(LAYERS[room]):
                yield name, number, f"{room} must not include {target}; it may include: {', '.join(LAYERS[room])}"


def length(tree):
    """A function has at most 70 lines, a source 600, a header 250."""
    for name in tree.sources():
        count = tree.text(name).count("\n")
        header = name.endswith(".h") and not name.startswith("tests/")
        most = HEADER_LINES if header else SOURCE_LINES
        if count > most:
            yield name, most, f"the file has {count} lines, {most} are the limit: find its second noun and cut there"
        start = None
        for number, line in tree.lines(name):
            if line == "{":
                start = number
            elif line.startswith("}") and start:
                if number - start + 1 > FUNCTION_LINES:
                    yield name, start, f"the function has {number - start + 1} lines, {FUNCTION_LINES} are the limit"
                start = None


SQL = re.compile(r'"\s*(SELECT\s|INSERT\s+(OR|INTO)\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|'
                 r'CREATE\s+(TABLE|UNIQUE|INDEX|TRIGGER|VIEW)\s|ALTER\s+TABLE\s|PRAGMA\s|BEGIN\s+IMMEDIATE)')


def sql(tree):
    """SQL is written in store/ and nowhere else, but in the tests' own reader."""
    for name in tree.sources():
        if name.startswith(("store/", "tests/store/", "tests/lib/chain.c")):
            continue
        for number, line in tree.lines(name):
            if SQL.search(line):
                yield name, number, "SQL outside store/: add a call to core/port/store.h"


MARKS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")


def marks(tree):
    """No notes to do it later."""
    for name in tree.texts():
        for number, line in tree.lines(name):
            if MARKS.search(line):
                yield name, number, "a note for later: do it now, or open an issue and say so in the docs"


PAUSE_C = re.compile(r"\b(sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep)\s*\(")
PAUSE_SH = re.compile(r"(^|[;&|({]|\bdo\b|\bthen\b)\s*sleep\s+[0-9.$\"]")


def sleeps(tree):
    """Tests wait for a condition with a deadline, they do not sleep."""
    for name in tree.texts():
        if not name.startswith("tests/") or name.startswith(("tests/lib/", "tests/lint/")):
            continue
        pattern = PAUSE_C if name.endswith((".c", ".h")) else PAUSE_SH
        if name.endswith((".md", ".py", ".json")):
            continue
        for number, line in tree.lines(name):
            if pattern.search(line):
                yield name, number, "a sleep in a test: wait for the condition with a verb of tests/lib"


def heads(tree):
    """Every source begins with a comment that says what the file is."""
    for name in tree.sources():
        if not tree.text(name).startswith("/* "):
            yield name, 1, "begin with a comment: what this is, what it is not, who calls it"


PROTOTYPE = re.compile(r"^(?!static|typedef|#|/|\*| )[a-z][\w \t]*[ *]+(\w+)\([^;{}]*(?<!const )struct err \*err\)([^;{}]*);",
                       re.M)


def must_use(tree):
    """A prototype that takes struct err and returns something is MUST_USE (x_fail() is always false)."""
    for name in tree.sources():
        if not name.endswith(".h") or name == "core/base/err.h":
            continue
        text = tree.text(name)
        for m in PROTOTYPE.finditer(text):
            always_false = m.group(1).endswith("_fail") or m.group(0).startswith("void ")
            if "MUST_USE" not in m.group(2) and not always_false:
                yield name, line_of(text, m.start()), f"{m.group(1)}() can fail: declare it MUST_USE"


def error_table(tree):
    """core/base/err.h, docs/errors.md and openapi.yaml name the same errors."""
    if "core/base/err.h" not in tree.files:
        return
    table = {m[1]: (int(m[0]), m[2]) for m in re.findall(
        r'X\(\w+,\s*(\d+),\s*"([^"]+)",\s*"([^"]+)"\)', tree.text("core/base/err.h"))}
    docs, doc = {}, "docs/errors.md"
    for number, line in tree.lines(doc) if doc in tree.files else ():
        m = re.match(r"\| `([a-z-]+)` \| (\d+) \| ([^|]+) \| ([^|]+) \|$", line)
        if m:
            docs[m.group(1)] = (int(m.group(2)), m.group(3).strip())
            if m.group(1) not in table:
                yield doc, number, f"'{m.group(1)}' is not in core/base/err.h"
            elif docs[m.group(1)] != table[m.group(1)]:
                yield doc, number, f"'{m.group(1)}' differs from core/base/err.h: {table[m.group(1)]}"
    for slug in table.keys() - docs.keys():
        yield doc, 1, f"'{slug}' of core/base/err.h is missing here"
    yield from _openapi_errors(tree, set(table))


def _openapi_errors(tree, slugs):
    api = "openapi.yaml"
    if api not in tree.files:
        yield api, 1, "the contract is missing"
        return
    text = tree.text(api)
    m = re.search(r"^    ErrorCode:\n(?:      (?!enum:).*\n)*      enum:\n((?:        - .*\n)+)", text, re.M)
    listed = set(re.findall(r"- ([a-z-]+)", m.group(1))) if m else set()
    line = line_of(text, m.start()) if m else 1
    for slug in sorted(slugs - listed):
        yield api, line, f"the schema ErrorCode lacks '{slug}'"
    for slug in sorted(listed - slugs):
        yield api, line, f"the schema ErrorCode has '{slug}', which core/base/err.h does not"


# Kept in rot13, so that this file passes its own lint: somebody's paths, package registries' hosts,
# signatures of tools.
FOREIGN = re.compile("|".join(re.escape(codecs.decode(w, "rot13")) for w in (
    "/ubzr/", "/jbex/znva", "/jbex/funerq", "/gzc/oevrs", "ertvfgel.acz",
    "clcv.bet", "naguebcvp", "pynhqr", "pungtcg", "pbcvybg",
    "ynathntr zbqry", "nv ntrag", "nv nffvfgnag", "nv trarengrq", "pb-nhguberq-ol",
)), re.I)


def foreign(tree):
    """Texts speak of the project: no paths of somebody's machine, no registry hosts, no tool's signature."""
    for name in tree.texts():
        for number, line in tree.lines(name):
            m = FOREIGN.search(line)
            if m:
                yield name, number, f"'{m.group(0)}' does not belong into the project's texts"


def links(tree):
    """Relative links in the documents lead somewhere."""
    for name in tree.files:
        if not name.endswith(".md"):
            continue
        for number, line in tree.lines(name):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                path = os.path.normpath(os.path.join(os.path.dirname(name), target))
                if not os.path.exists(os.path.join(tree.root, path)):
                    yield name, number, f"the link to {target} leads nowhere"


SOURCE_LINTS = [layers, length, sql, marks, sleeps, heads, must_use, error_table, foreign, links]
