#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""budget.py CONVERT_LAYOUT [NAME…]: layers that are small on the wire and large in the memory of
whoever reads them. A conversion that may have 64 MiB must refuse them or convert them, and neither
its process nor the one that started it may grow far beyond that. Needs no privilege."""
import hashlib
import os
import subprocess
import sys
import tempfile
import zlib

import oci
from tarmaker import F, H, O, S, W, header, padded, pax_header

MEMORY = 64       # MiB that the conversion may have
BESIDES = 64      # code, stacks, compressors, one sparse map, what the allocator keeps
PARENT = 32       # of the process that asked for it


def packed(entries):
    """A gzip layer from an iterable of entries, without holding the archive."""
    digest, packer, out = hashlib.sha256(), zlib.compressobj(1, zlib.DEFLATED, 31), []

    def write(data):
        digest.update(data)
        out.append(packer.compress(data))

    pending, size = [], 0
    for item in entries:
        pending.append(item)
        size += len(item)
        if size > 1 << 20:
            write(b"".join(pending))
            pending, size = [], 0
    write(b"".join(pending) + b"\0" * 1024)
    out.append(packer.flush())
    return oci.Layer(b"", blob=b"".join(out), diff_id="sha256:" + digest.hexdigest())


def deep(i, depth):
    """A path of so many folders that shares none with the others."""
    return f"{i}/" + "d/" * (depth - 2) + "e"


def xattrs(i, names, size):
    return F(f"f{i}", "", pax={f"SCHILY.xattr.user.{i % 7}.{j}.{'n' * 90}": f"{i:08}" + "v" * size
                               for j in range(names)})


def small_file(i):
    return header(b"%x" % i, size=8) + padded(b"%08x" % i)


def sparse(size, pieces=0):
    body = b"%d\n" % pieces + b"".join(b"%d\n0\n" % j for j in range(pieces))
    return F("x", padded(body), pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                                     "GNU.sparse.name": "s", "GNU.sparse.realsize": str(size)})


def bomb(mebibytes):
    """Zeros, which are the end of an archive: one gzip member, many times."""
    member = zlib.compressobj(9, zlib.DEFLATED, 31)
    member = member.compress(b"\0" * (64 << 20)) + member.flush()
    digest = hashlib.sha256()
    for _ in range(mebibytes // 64):
        digest.update(b"\0" * (64 << 20))
    return oci.Layer(b"", blob=member * (mebibytes // 64), diff_id="sha256:" + digest.hexdigest())


def wide_window(i):
    """zstd does not know how long it will be, so it asks for the whole window."""
    tar = F(f"f{i}", "x") + b"\0" * 1024
    blob = subprocess.run(["zstd", "-q", "-c", "--long=27"], input=tar, stdout=subprocess.PIPE, check=True).stdout
    return oci.Layer(tar, blob=blob, media=oci.TYPES["zstd"])


REFUSED, MADE = "limit-exceeded", None
# Name: what becomes of it, options, layers.
SHAPES = {
    "deep-paths": (REFUSED, [], lambda: [packed(F(deep(i, 250), "") for i in range(3000))]),
    "deep-whiteouts": (REFUSED, [], lambda: [packed(W(deep(i, 250)) for i in range(10_000))]),
    "deep-link-targets": (REFUSED, [], lambda: [packed(H(f"h{i}", deep(i, 250)) for i in range(10_000))]),
    "implied-over-limit": (REFUSED, ["entries=20000"], lambda: [packed(F(deep(i, 250), "") for i in range(100))]),
    "xattr-sets": (REFUSED, [], lambda: [packed(xattrs(i, 1, 8000) for i in range(4000))]),
    "xattr-names": (REFUSED, [], lambda: [packed(xattrs(i, 60, 0) for i in range(4000))]),
    "xattr-sets-that-fit": (MADE, [], lambda: [packed(xattrs(i, 1, 2000) for i in range(4000))]),
    "long-names": (REFUSED, [], lambda: [packed(F("n" * 230 + f"{i:08}", "") for i in range(120_000))]),
    "long-symlinks": (REFUSED, [], lambda: [packed(S(f"l{i}", f"{i:08}" + "t" * 4000) for i in range(15_000))]),
    "many-files": (REFUSED, [], lambda: [packed(header(b"%x" % i) for i in range(320_000))]),
    "many-files-that-fit": (MADE, [], lambda: [packed(header(b"%x" % i) for i in range(120_000))]),
    "many-directories": (REFUSED, [], lambda: [packed(header(b"%x/" % i, b"5") for i in range(200_000))]),
    "many-directories-that-fit": (MADE, [], lambda: [packed(header(b"%x/" % i, b"5") for i in range(90_000))]),
    "many-small-files": (REFUSED, [], lambda: [packed(small_file(i) for i in range(220_000))]),
    "many-small-files-that-fit": (MADE, [], lambda: [packed(small_file(i) for i in range(100_000))]),
    "many-hard-links": (REFUSED, [], lambda: [packed(
        [F("z")] + [header(b"%x" % i, b"1", link=b"z") for i in range(500_000)])]),
    "one-name": (REFUSED, [], lambda: [packed(header(b"a") for _ in range(500_000))]),
    "replaced-trees": (REFUSED, [], lambda: [packed(
        [O("d")] + [header(b"d/%x" % i) for i in range(20_000)]) for _ in range(25)]),
    "symlinked-parents": (REFUSED, [], lambda: [packed(
        [S(f"s{i}", f"{i}/" + "x/" * 1000) for i in range(600)] + [F(f"s{i}/f", "") for i in range(600)])]),
    "symlink-components": (REFUSED, [], lambda: [packed(
        [S(f"s{i}", "/".join(f"{i:x}.{j:x}" for j in range(400))) for i in range(2500)] +
        [F(f"s{i}/f", "") for i in range(2500)])]),
    "holes": (REFUSED, ["bytes=100GiB", "block=4KiB"], lambda: [packed([sparse(90 << 30)])]),
    "sparse-map": (MADE, [], lambda: [packed([sparse(1 << 20, 1_000_000)])]),
    "sparse-map-too-long": (REFUSED, [], lambda: [packed([sparse(1 << 20, 1 << 20 | 1)])]),
    "pax-globals": (REFUSED, [], lambda: [packed(
        [pax_header({f"VENDOR.{i}": "v" * 10_000}, b"g") for i in range(5000)] + [F("a")])]),
    "pax-sparse-globals": (REFUSED, [], lambda: [packed(
        [pax_header([("GNU.sparse.offset", "1")] * 30_000, b"g")] * 100 + [F("a")])]),
    "pax-keys": (MADE, [], lambda: [packed(
        pax_header([(f"V.{j}", "") for j in range(40_000)]) + F(f"f{i}") for i in range(20))]),
    "headers-of-nothing": (REFUSED, ["entries=1000"], lambda: [packed(
        [header(b"x", b"V", magic="gnu")] * 5000 + [F("a")])]),
    "many-layers": (MADE, [], lambda: [packed(header(b"%d/%x" % (n, i)) for i in range(50)) for n in range(120)]),
    "bomb": (REFUSED, [], lambda: [bomb(1152)]),
    "bombs-that-add-up": (REFUSED, ["bytes=1GiB"], lambda: [bomb(320)] * 4),
    "zstd-windows": (MADE, ["threads=8"], lambda: [wide_window(i) for i in range(7)]),
}


def convert(tool, layout, sif, options):
    """Exit code, message, peak of the conversion and of the process that asked for it, in MiB."""
    child = subprocess.Popen([tool, f"memory={MEMORY}MiB", *options, layout, sif], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    own = [int(line.split("=")[1]) for line in text.splitlines() if line.startswith("parent_peak=")]
    return child.returncode, text, usage.ru_maxrss >> 10, own[0] if own else None


def made_elsewhere(path, make):
    """In a process of its own: what it takes would count as the peak of all that we start later."""
    pid = os.fork()
    if pid == 0:
        oci.write_layout(path, make())
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def check(tool, work, want, options, make):
    if not made_elsewhere(work + "/layout", make):
        return ["the layers could not be made"], 0
    code, text, peak, parent = convert(tool, work + "/layout", work + "/out.sif", options)
    problems = []
    if want is None and code != 0 or want and f"slipway: error: {want}: " not in text:
        problems.append(f"want {want or 'an image'}, have exit {code}: {text.strip()[:300]}")
    if want and os.path.getsize(work + "/out.sif") != 0:
        problems.append("a failed conversion left something behind")
    if peak > MEMORY + BESIDES:
        problems.append(f"the conversion took {peak} MiB")
    if parent is None or parent > PARENT:
        problems.append(f"its parent took {parent} MiB")
    return problems, peak


def main():
    tool, wanted = os.path.abspath(sys.argv[1]), set(sys.argv[2:])
    failed = 0
    for name, (want, options, make) in SHAPES.items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="budget-") as work:
            problems, peak = check(tool, work, want, options, make)
        print("ok" if not problems else "NOT OK", name, f"({peak} MiB)", flush=True)
        for problem in problems:
            print("   ", problem)
        failed += bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
