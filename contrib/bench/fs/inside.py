#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""inside.py MOUNT LIST: runs one workload for each line of standard input and prints milliseconds.

walk        find -printf %s over the whole tree
import      python3 of the image imports numpy and scipy
readers N   the files named in LIST, read by N processes at once
"""
import os
import subprocess
import sys
import time

mount, names = sys.argv[1:3]
DEVNULL = subprocess.DEVNULL


def walk():
    subprocess.run(["find", mount, "-printf", "%s\n"], stdout=DEVNULL, check=True)


def import_numpy():
    subprocess.run(
        ["/usr/bin/python3", "-I", "-c", "import numpy, scipy, scipy.linalg, scipy.sparse"],
        preexec_fn=lambda: (os.chroot(mount), os.chdir("/")),
        stdin=DEVNULL,
        check=True,
    )


def readers(count):
    with open(names, "rb") as listing:
        share = -(-listing.read().count(b"\0") // count)
        listing.seek(0)
        subprocess.run(
            ["xargs", "-0", "-n", str(share), "-P", str(count), "cat"],
            stdin=listing,
            stdout=DEVNULL,
            check=True,
            cwd=mount,
        )


for line in sys.stdin:
    work, *rest = line.split()
    begin = time.perf_counter()
    if work == "walk":
        walk()
    elif work == "import":
        import_numpy()
    else:
        readers(int(rest[0]))
    print(f"{(time.perf_counter() - begin) * 1000:.3f}", flush=True)
