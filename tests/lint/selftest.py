"""Shows every lint a bad sample, which it must find on the right line, and a good one, which it must
let pass."""
import os
import tempfile

import rules
import tools

HEAD = "/* A sample. */\n"
LONG = "int f(void)\n{\n" + "    g();\n" * 70 + "}\n"
FINE = "int f(void)\n{\n" + "    g();\n" * 60 + "}\n"
ERR_H = 'X(INVALID, 422, "invalid", "Not valid")'
ERR_MD = "| `invalid` | 422 | Not valid | when |\n"
ENUM = "    ErrorCode:\n      type: string\n      enum:\n        - invalid\n"
WRONG = "        - wrong\n"

# lint: ({bad files}, line of the finding, {good files})
SAMPLES = {
    rules.layers: ({"core/model/a.c": HEAD + '#include "store/db.h"\n'}, 2,
                   {"core/model/a.c": HEAD + '#include "core/base/err.h"\n',
                    "vmmd/main/b.c": HEAD + '#include "store/db.h"\n'}),
    rules.length: ({"api/a.c": HEAD + LONG}, 3, {"api/a.c": HEAD + FINE, "api/b.h": HEAD + "\n" * 200}),
    rules.sql: ({"api/a.c": HEAD + 'run("SELECT 1 FROM vms");\n'}, 2,
                {"store/a.c": HEAD + 'run("SELECT 1 FROM vms");\n', "api/b.c": HEAD + 'say("select a VM first");\n'}),
    rules.marks: ({"docs/a.md": "x\n" + "TO" + "DO: later\n"}, 2, {"docs/a.md": "nothing to do\n"}),
    rules.sleeps: ({"tests/unit/a.c": HEAD + "    sleep(1);\n"}, 2,
                   {"tests/unit/a.c": HEAD + "/* never sleeps; asleep(1) */\n", "tests/lib/w.c": HEAD + "usleep(10);\n"}),
    rules.heads: ({"api/a.c": "int x;\n"}, 1, {"api/a.c": HEAD}),
    rules.must_use: ({"api/a.h": HEAD + "bool f(int a,\n       struct err *err);\n"}, 2,
                     {"api/a.h": HEAD + "bool f(int a, struct err *err) MUST_USE;\nvoid g(struct err *err);\n"}),
    rules.error_table: ({"core/base/err.h": ERR_H, "docs/errors.md": ERR_MD.replace("422", "400"),
                         "openapi.yaml": ENUM}, 1,
                        {"core/base/err.h": ERR_H, "docs/errors.md": ERR_MD, "openapi.yaml": ENUM}),
    rules.foreign: ({"docs/a.md": "x\nlies in /ho" + "me/anna/vmmd\n"}, 2, {"docs/a.md": "lies in $HOME and ./work/x\n"}),
    rules.links: ({"docs/a.md": "x\n[b](b.md)\n"}, 2, {"docs/a.md": "[b](b.md#x) [c](https://example.org)\n", "docs/b.md": ""}),
    tools.clang_format: ({".clang-format": "BasedOnStyle: LLVM\n", "api/a.c": HEAD + "int  x ;\n"}, 2,
                         {".clang-format": "BasedOnStyle: LLVM\n", "api/a.c": HEAD + "int x;\n"}),
    tools.cppcheck: ({"api/a.c": HEAD + "int f(void)\n{\n    int a[2];\n    a[2] = 1;\n    return a[2];\n}\n"}, 5,
                     {"api/a.c": HEAD + "int f(void)\n{\n    return 0;\n}\n"}),
    tools.shellcheck: ({"a.sh": "#!/bin/sh\ncd $1 && rm -r $UNSET/*\nx=1\n"}, 3, {"a.sh": "#!/bin/sh\nexec true\n"}),
    tools.units: ({"packaging/systemd/a.service": "[Unit]\nAfer=b.service\n[Service]\nExecStart=/usr/bin/vmmctl\n"}, 2,
                  {"packaging/systemd/a.service": "[Unit]\nAfter=b.service\n[Service]\nExecStart=/usr/bin/vmmctl\n"}),
}


def findings(lint, files):
    with tempfile.TemporaryDirectory(prefix="vmmd-lint-") as root:
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return list(lint(rules.Tree(root)))


def check(lint):
    """What is wrong with the lint, or None."""
    bad, line, good = SAMPLES[lint]
    try:
        found, quiet = findings(lint, bad), findings(lint, good)
    except tools.Missing:
        return None
    if line not in [f[1] for f in found]:
        return f"lint/{lint.__name__} does not see the bad sample on line {line}: {found}"
    if quiet:
        return f"lint/{lint.__name__} objects to the good sample: {quiet}"
    return None


def run():
    """'ok' or 'FAILED'; clang_tidy is tried on its own profile by its tool."""
    wrong = [w for w in map(check, SAMPLES) if w]
    wrong += [f"lint/{lint.__name__} has no sample" for lint in rules.SOURCE_LINTS + tools.TOOL_LINTS
              if lint not in SAMPLES and lint is not tools.clang_tidy]
    extra = findings(rules.error_table, {"core/base/err.h": ERR_H, "docs/errors.md": ERR_MD,
                                         "openapi.yaml": ENUM + WRONG})
    if not any("wrong" in f[2] for f in extra):
        wrong.append("lint/error_table does not see a code too many in openapi.yaml")
    for sentence in wrong:
        print(f"tests/lint/selftest.py:1: {sentence}")
    print("FAILED lint/selftest" if wrong else "ok lint/selftest")
    return "FAILED" if wrong else "ok"
