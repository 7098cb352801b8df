#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules about the tree that a compiler does not check. One rule per run:

includes     every #include of ours crosses only an allowed edge between rooms
third_party  heavy libraries are included only by the rooms (and adapters) that may use them
house        SPDX line first, at most 600 lines a file and 60 a function
coverage     every test that docs/coverage.md names is there
coroutines   no closure or braced temporary inside a co_await statement (g++ 12 destroys it twice)
"""
import pathlib
import re
import sys

import functions

# Room -> rooms that it may include. launcher/join and the parts of prefetch/ are rooms of their own
# (what the plugin may use; who works for whom when an image is staged); so is the file where
# slipwayd is put together.
ALLOWED = {
    "base": {"base"},
    # squashfs itself is facts without any library: also the site file's check may ask it.
    "squashfs": {"squashfs", "base"},
    "squashfs/codec": {"squashfs/codec", "squashfs", "base"},
    "squashfs/reader": {"squashfs/reader", "squashfs/codec", "squashfs", "base"},
    "config": {"config", "squashfs", "base"},
    "image": {"image", "squashfs", "base"},
    "store": {"store", "image", "base"},
    "prefetch/transfer": {"prefetch/transfer", "base"},
    "prefetch/credentials": {"prefetch/credentials", "config", "base"},
    "prefetch/sources": {"prefetch/sources", "prefetch/transfer", "prefetch/credentials", "image", "config", "base"},
    "prefetch/convert": {"prefetch/convert", "squashfs/reader", "squashfs/codec", "squashfs", "image", "base"},
    "prefetch/stage": {"prefetch/stage", "base"},
    "prefetch/staging": {"prefetch/staging", "prefetch/stage", "prefetch/sources", "prefetch/transfer",
                         "prefetch/credentials", "prefetch/convert", "store", "image", "config", "squashfs",
                         "base"},
    "prefetch/client": {"prefetch/client", "prefetch/stage", "config", "base"},
    "prefetch/service": {"prefetch/service", "prefetch/stage", "store", "image", "config", "base"},
    "prefetch/service/main.cpp": {"prefetch/service", "prefetch/staging", "prefetch/stage", "store", "image", "config", "base"},
    "launcher/join": {"launcher/join", "base"},
    "launcher/devices": {"launcher/devices", "base"},
    "launcher/image_server": {"launcher/image_server", "squashfs/reader", "squashfs", "image", "base"},
    "launcher": {"launcher", "launcher/join", "launcher/devices", "launcher/image_server", "image",
                 "config", "base"},
    "spank": {"spank", "launcher/join", "base"},
    "cli": {"cli", "spank", "launcher", "launcher/join", "launcher/image_server", "prefetch/client", "prefetch/stage", "prefetch/staging",
            "store", "image", "squashfs/reader", "squashfs", "config", "base"},
}
TOPS = ("base", "squashfs", "config", "image", "store", "prefetch", "launcher", "spank", "cli")
# The longest name that fits decides.
ROOMS = sorted(ALLOWED, key=len, reverse=True)

# Library (start of the include) -> where it may appear, as path prefixes.
THIRD_PARTY = {
    "yaml-cpp/": ["config/"],
    "nlohmann/": ["base/json.hpp"],
    "curl/": ["prefetch/transfer/"],
    "boost/": ["prefetch/service/"],
    "spdlog/": ["prefetch/service/"],
    "openssl/": ["image/"],
    "sqfs/": ["prefetch/convert/"],
    "isa-l": ["prefetch/convert/", "squashfs/codec/decoder.cpp"],
    "zstd.h": ["prefetch/convert/", "prefetch/sources/", "squashfs/codec/"],
    "lz4.h": ["squashfs/codec/decoder.cpp"],
    "lzma.h": ["squashfs/codec/decoder.cpp"],
    "lzo/": ["squashfs/codec/decoder.cpp"],
    "zlib.h": ["prefetch/convert/", "prefetch/sources/"],
    "archive.h": ["prefetch/sources/"],
    "seccomp.h": ["launcher/"],
    "slurm/": ["spank/"],
    "fmt/": ["base/"],
    "tl/": ["base/"],
}
SOURCE = {".cpp", ".hpp", ".c", ".h"}
MAX_LINES = 600
MAX_FUNCTION_LINES = 60
# Longer than people would write them.
GENERATED = {"contrib/completions/slipway.bash": "made from the tables of cli/"}


def room_of(path):
    for room in ROOMS:
        if path == room or path.startswith(room + "/"):
            return room
    return None


def sources(root):
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCE:
                yield path.relative_to(root).as_posix(), path.read_text(errors="replace")


def check_includes(root):
    for name, text in sources(root):
        room = room_of(name)
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            target = room_of(match.group(1))
            if room is None:
                yield f"{name}: in none of the rooms"
                break
            if target is None and not match.group(1).startswith("version"):
                yield f'{name}:{number}: "{match.group(1)}" does not name a room'
            elif target is not None and target not in ALLOWED[room]:
                yield f"{name}:{number}: {room} may not use {target}"


def check_third_party(root):
    for name, text in sources(root):
        for number, line in enumerate(text.splitlines(), 1):
            match = re.match(r"\s*#\s*include\s+[<\"]([^>\"]+)[>\"]", line)
            if not match:
                continue
            for library, places in THIRD_PARTY.items():
                if match.group(1).startswith(library) and not any(name.startswith(p) for p in places):
                    yield f"{name}:{number}: {library} belongs to {', '.join(places)}"


def is_text(path):
    """Sources, tests and scripts, which may have no suffix; not the inputs of fuzz tests."""
    if path.suffix in SOURCE | {".sh", ".bats", ".bash", ".py"}:
        return True
    if path.suffix or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def check_house(root):
    for top in (*TOPS, "tests", "contrib", "docs", ".ci"):
        for path in sorted((root / top).rglob("*")):
            name = path.relative_to(root).as_posix()
            if "/corpus/" in name or name in GENERATED or not is_text(path):
                continue
            text = path.read_text(errors="replace")
            lines = text.splitlines()
            if not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:3]):
                yield f"{name}:1: no SPDX line"
            if len(lines) > MAX_LINES:
                yield f"{name}: {len(lines)} lines, more than {MAX_LINES}: a room that wants a wall"
            for function, first, count in functions.functions(path.name, text):
                if count > MAX_FUNCTION_LINES:
                    yield f"{name}:{first}: {function} has {count} lines, more than {MAX_FUNCTION_LINES}"


def titles(text):
    """Names of the tests in a file: of bats, Catch2 (also when written in pieces) and unittest."""
    joined = re.sub(r'"\s*\n\s*"', "", text)
    return set(re.findall(r'^@test "([^"]+)"', joined, re.M)) | set(
        re.findall(r'^TEST_CASE(?:_METHOD\(\w+,|\()\s*"([^"]+)"', joined, re.M)) | set(
        re.findall(r"^ +def (test_\w+)\(", joined, re.M))


def check_coverage(root):
    page = root / "docs/coverage.md"
    named = re.findall(r'`(tests/[^`]+)` "([^"]+)"', page.read_text()) if page.is_file() else []
    for name, title in named:
        if not (root / name).is_file():
            yield f"docs/coverage.md: there is no {name}"
        elif title not in titles((root / name).read_text(errors="replace")):
            yield f'docs/coverage.md: {name} has no test "{title}"'


def check_coroutines(root):
    for name, text in sources(root):
        code = re.sub(r"//[^\n]*", "", text)
        for match in re.finditer(r"co_await\b[^;]*;", code):
            statement = match.group(0)
            if "{" in statement or re.search(r"\[[^\]]*\]\s*[({]", statement):
                number = code[: match.start()].count("\n") + 1
                yield f"{name}:{number}: name the temporary before co_await"


RULES = {
    "includes": check_includes,
    "third_party": check_third_party,
    "house": check_house,
    "coverage": check_coverage,
    "coroutines": check_coroutines,
}


def main():
    found = list(RULES[sys.argv[1]](pathlib.Path(sys.argv[2])))
    print("\n".join(found) if found else f"{sys.argv[1]}: nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
