#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares ways to mount one SquashFS image: the kernel's driver on a loop device, squashfuse_ll,
and our server. Run as root on a quiet machine.

bench.py --tool build/release/tests/bin/squashfs_mount IMAGE [--rounds N] [--rows NAME,…] [--ways NAME,…]
         [--against TOOL]   another build's squashfs_mount beside it: what a change costs

Rows: warm (everything seen before), fresh (a new mount of a file in the page cache) and cold (a new
mount after dropping all caches), each for walk, import (where the image has numpy and scipy) and
readers (8 processes, 4,000 small files). The ways take turns in every round; the table shows
medians in ms and the median of the ratios to the kernel's driver of the same round.
"""
import argparse
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PYTHON = "/usr/bin/python3"
FILES = 4000
LARGEST = 32768  # bytes of a "small" file


class Way:
    """One mount with a workload runner inside, living until close()."""

    def __init__(self, name, lab):
        inner = f"{PYTHON} {lab.folder}/inside.py {lab.mount} {lab.names}"
        image = lab.image
        if name == "kernel":
            command = ["unshare", "-m", "sh", "-c", f"mount -t squashfs -o loop,ro {image} {lab.mount} && {inner}"]
        elif name == "squashfuse_ll":
            command = ["unshare", "-m", "sh", "-c", f"squashfuse_ll {image} {lab.mount} && {inner}; umount {lab.mount}"]
        else:
            command = [lab.tools[name], image, lab.mount, "--", *inner.split()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def run(self, work):
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"bench: {work} failed")
        return float(answer)

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit("bench: a mount ended badly")


class Lab:
    def __init__(self, arguments, folder):
        self.folder = folder
        self.image = os.path.abspath(arguments.image)
        self.tools = {"slipway": os.path.abspath(arguments.tool),
                      "other": os.path.abspath(arguments.against or arguments.tool)}
        self.mount = f"{folder}/mnt"
        self.names = f"{folder}/names"
        os.chmod(folder, 0o755)
        os.mkdir(self.mount)
        shutil.copy(HERE / "inside.py", folder)
        listing = subprocess.run(["unsquashfs", "-lln", "-d", "", self.image], capture_output=True, text=True,
                                 errors="surrogateescape", check=True).stdout
        small = []
        self.has_numpy = False
        for line in listing.splitlines():
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[0].startswith("-") and 0 < int(fields[2]) <= LARGEST:
                small.append(fields[5].lstrip("/"))
            self.has_numpy |= line.endswith("dist-packages/numpy/__init__.py")
        small = random.Random(42).sample(sorted(small), min(FILES, len(small)))
        with open(self.names, "wb") as out:
            out.write(b"".join(os.fsencode(name) + b"\0" for name in small))
        self.files = len(small)


def drop_caches():
    subprocess.run(["sync"], check=True)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def load_file(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def measure_warm(lab, ways, works, rounds, results):
    mounts = {way: Way(way, lab) for way in ways}
    for work in works:
        for mount in mounts.values():
            mount.run(work)
        for _ in range(rounds):
            for way, mount in mounts.items():
                results.setdefault(("warm", work), {}).setdefault(way, []).append(mount.run(work))
    for mount in mounts.values():
        mount.close()


def measure_new(lab, kind, ways, works, rounds, results):
    for _ in range(rounds):
        for work in works:
            for way in ways:
                if kind == "cold":
                    drop_caches()
                    load_file(shutil.which("find"))  # the tools themselves are no part of it
                    load_file(f"{lab.folder}/inside.py")
                    subprocess.run([PYTHON, "-c", "import subprocess"], check=True)
                    subprocess.run(["sh", "-c", "find /dev/null -printf %s; cat /dev/null | xargs -0 cat"],
                                   stdout=subprocess.DEVNULL, check=True)
                else:
                    load_file(lab.image)
                mount = Way(way, lab)
                results.setdefault((kind, work), {}).setdefault(way, []).append(mount.run(work))
                mount.close()


def print_table(results, ways):
    print(f"{'':24}" + "".join(f"{way:>22}" for way in ways))
    for (kind, work), times in results.items():
        cells = []
        for way in ways:
            median = statistics.median(times[way])
            ratio = statistics.median(a / b for a, b in zip(times[way], times.get("kernel", times[way])))
            cells.append(f"{median:14.1f} ({ratio:4.2f})")
        print(f"{kind + ' ' + work:24}" + "".join(f"{cell:>22}" for cell in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--tool", required=True, help="the squashfs_mount program of the test build")
    parser.add_argument("--against", help="the same program of another build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", default="warm,fresh,cold")
    parser.add_argument("--ways", default="kernel,squashfuse_ll,slipway")
    parser.add_argument("--work", default="walk,import,readers 8")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root for the kernel's mount and for dropping caches")
    ways = arguments.ways.split(",") + (["other"] if arguments.against else [])
    results = {}
    with tempfile.TemporaryDirectory(prefix="slipway-bench-fs-") as folder:
        lab = Lab(arguments, folder)
        works = [work for work in arguments.work.split(",") if work != "import" or lab.has_numpy]
        print(f"{lab.image}: {os.path.getsize(lab.image) >> 20} MiB, {lab.files} small files, "
              f"load {os.getloadavg()[0]:.1f}, {arguments.rounds} rounds")
        for row in arguments.rows.split(","):
            if row == "warm":
                measure_warm(lab, ways, works, arguments.rounds, results)
            else:
                measure_new(lab, row, ways, works, arguments.rounds, results)
    print_table(results, ways)


if __name__ == "__main__":
    main()
