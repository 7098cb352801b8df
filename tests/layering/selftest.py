#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that every rule of check_tree.py can fail: a tree with one offence for each."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_tree  # noqa: E402

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
OFFENCES = {
    "includes": ("spank/a.cpp", SPDX + '#include "config/config.hpp"\n'),
    "third_party": ("spank/b.cpp", SPDX + "#include <curl/curl.h>\n"),
    "house": ("base/c.cpp", "int x;\n"),
    "coroutines": ("prefetch/d.cpp", SPDX + "void f() { co_await g(A{1}); }\n"),
}

failed = 0
for rule, (name, text) in OFFENCES.items():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
        for top in ("base", "config", "image", "store", "prefetch", "launcher", "spank", "cli"):
            (root / top).mkdir(exist_ok=True)
        found = {r: list(check(root)) for r, check in check_tree.RULES.items()}
        if [r for r, hits in found.items() if hits] != [rule]:
            print(f"rule {rule}: {found}")
            failed = 1
print("selftest failed" if failed else "every rule can fail")
sys.exit(failed)
