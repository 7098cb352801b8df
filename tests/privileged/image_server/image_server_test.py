#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves images of all compressors and shapes and holds them against their source.

image_server_test.py SQUASHFS_MOUNT    needs root, mksquashfs and /dev/fuse; else skipped (77)
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import tree  # noqa: E402

# Name -> options of mksquashfs. All get the same source; the big directory only where said.
IMAGES = {
    "gzip": ["-comp", "gzip"],
    "gzip-strategies": ["-comp", "gzip", "-Xcompression-level", "1", "-Xwindow-size", "8", "-Xstrategy", "huffman_only,fixed"],
    "zstd": ["-comp", "zstd", "-Xcompression-level", "19"],
    "zstd-4k": ["-comp", "zstd", "-b", "4K"],
    "zstd-1m": ["-comp", "zstd", "-b", "1M"],
    "zstd-no-fragments": ["-comp", "zstd", "-no-fragments"],
    "zstd-always-fragments": ["-comp", "zstd", "-always-use-fragments", "-b", "64K"],
    "zstd-raw": ["-comp", "zstd", "-noI", "-noD", "-noF", "-noX"],
    "zstd-raw-data": ["-comp", "zstd", "-noD"],
    "zstd-no-duplicates": ["-comp", "zstd", "-no-duplicates", "-no-exports", "-no-sparse"],
    "xz": ["-comp", "xz", "-Xbcj", "x86", "-Xdict-size", "100%"],
    "lz4": ["-comp", "lz4", "-Xhc"],
    "lzo": ["-comp", "lzo"],
    "lzma": ["-comp", "lzma"],
}
# Shapes that differ for readers at the same time.
READERS = ("gzip", "zstd", "zstd-4k", "zstd-1m", "zstd-always-fragments", "zstd-raw", "xz")
# The ordinary user of the tests must be able to run it, wherever this script's own one lives.
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
failures = []


def skip(reason):
    print("skipped: " + reason)
    sys.exit(1 if os.environ.get("REQUIRE_ALL") == "1" else 77)


def check(name, good, detail=""):
    print(("ok   " if good else "FAIL ") + name + (f": {detail}" if detail and not good else ""), flush=True)
    if not good:
        failures.append(name)


class Lab:
    def __init__(self, tool, folder):
        self.tool = tool
        self.folder = folder
        self.mount = f"{folder}/mnt"
        os.chmod(folder, 0o755)
        os.mkdir(self.mount)
        for script in ("verify.py", "tree.py"):  # the checkout may lie where that user may not read
            shutil.copy(HERE / script, folder)

    def make_source(self, name, entries_of_big_directory=0):
        source = f"{self.folder}/{name}"
        tree.make(source, entries_of_big_directory)
        with open(f"{source}.json", "w") as out:
            json.dump(tree.describe(source), out)
        return source

    def make_image(self, source, name, options):
        image = f"{self.folder}/{name}.sqfs"
        command = ["mksquashfs", source, image, "-noappend", "-no-progress", "-quiet", *options]
        made = subprocess.run(command, capture_output=True, text=True)
        return image if made.returncode == 0 else None

    def run(self, image, *command, options=(), timeout=180):
        return subprocess.run([self.tool, *options, image, self.mount, "--", *command], timeout=timeout,
                              capture_output=True, text=True)

    def verify(self, name, image, *arguments, options=()):
        done = self.run(image, PYTHON, f"{self.folder}/verify.py", *arguments, options=options)
        check(name, done.returncode == 0, f"exit {done.returncode}: {done.stdout[-500:]}{done.stderr[-2000:]}")


def check_images(lab, source):
    for name, options in IMAGES.items():
        image = lab.make_image(source, name, options)
        check(f"mksquashfs {name}", image is not None)
        if image is None:
            continue
        lab.verify(f"tree {name}", image, "tree", f"{source}.json", lab.mount)
        if name in READERS:
            lab.verify(f"8 readers {name}", image, "readers", f"{source}.json", lab.mount, "8")
        if name not in ("zstd", "gzip"):
            os.unlink(image)


def check_big_directory(lab):
    source = lab.make_source("big", tree.BIG_DIRECTORY)
    image = lab.make_image(source, "big", ["-comp", "zstd"])
    lab.verify(f"tree with {tree.BIG_DIRECTORY} entries, 8 threads", image, "tree", f"{source}.json", lab.mount,
               options=("--threads", "8"))
    os.unlink(image)
    shutil.rmtree(source)
    if shutil.which("gensquashfs"):
        # Another writer, with directory indices of its own.
        source = lab.make_source("indexed", tree.INDEXED_DIRECTORY)
        image = f"{lab.folder}/gen.sqfs"
        made = subprocess.run(["gensquashfs", "-q", "--pack-dir", source, "--keep-xattr", "--keep-time", "-c", "zstd",
                               image], capture_output=True, text=True)
        check("gensquashfs", made.returncode == 0, made.stderr)
        with open(f"{source}.json") as file:
            wanted = json.load(file)
        for record in wanted.values():
            record["attributes"].pop("user.empty", None)  # it drops attributes without value
            if "entries" in record:  # it counts all entries of a directory as links
                record["nlink"] = record["entries"] + 2
            else:  # and makes a file of every name
                record["nlink"] = 1
                record.pop("first", None)
        wanted[""]["mtime"] = 0  # and its root has no time
        with open(f"{source}-gen.json", "w") as out:
            json.dump(wanted, out)
        lab.verify("tree of gensquashfs", image, "tree", f"{source}-gen.json", lab.mount)
        os.unlink(image)
        shutil.rmtree(source)


def check_place(lab, source, image):
    """The file system behind a launch line, with other bytes behind it, and files that hold none."""
    inside = f"{lab.folder}/inside"
    size = os.path.getsize(image)
    with open(image, "rb") as file:
        content = file.read()
    line = b"#!/bin/sh\nexec run-singularity \"$0\"\n"
    for text, what in ((line + content[:size // 2], "half a file"), (b"S" + content, "no SquashFS")):
        with open(inside, "wb") as out:
            out.write(text)
        done = lab.run(inside, "true")
        check(f"refused: {what}", done.returncode == 99 and "slipway: error: image-" in done.stderr, done.stderr)
    with open(inside, "wb") as out:
        out.write(line + content + b"E" * 5000)
    lab.verify("tree behind a launch line", inside, "tree", f"{source}.json", lab.mount)
    os.unlink(inside)


def check_damage(lab, image):
    damaged = f"{lab.folder}/damaged"
    shutil.copyfile(image, damaged)
    with open(damaged, "r+b") as out:
        out.seek(os.path.getsize(image) // 4)
        out.write(os.urandom(300000))
    lab.verify("damaged data", damaged, "damaged", lab.mount)
    os.unlink(damaged)


def check_server(lab, image):
    lab.verify("killed server", image, "killed", lab.mount)
    lab.verify("readers of a server with one thread", image, "readers", f"{lab.folder}/source.json", lab.mount, "3",
               options=("--threads", "1"))
    lab.verify("signals", image, "signals", lab.mount)
    running = subprocess.Popen([lab.tool, image, lab.mount, "--", "sh", "-c", f"cat {lab.mount}/data/counting | wc -c; echo $SQUASHFS_SERVER_PID; exec sleep 60"],
                               stdout=subprocess.PIPE, text=True)
    running.stdout.readline()
    pid = int(running.stdout.readline())
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    check("server has no capabilities", int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0)
    check("server has no_new_privs", status["NoNewPrivs"] == "1")
    check("server is filtered", status["Seccomp"] == "2" or os.environ.get("SLIPWAY_SANITIZED") == "1", status["Seccomp"])
    check("server is the user", status["Uid"].split() == ["1234"] * 4)
    check("server keeps three descriptors", len(os.listdir(f"/proc/{pid}/fd")) == 3, os.listdir(f"/proc/{pid}/fd"))
    check("server is not dumpable", os.stat(f"/proc/{pid}/status").st_uid == 0)
    resident = int(status["VmRSS"].split()[0])
    check("server is small", resident < 64 * 1024, f"{resident} KiB")
    # The mount goes with its last process, and then the server goes.
    children = pathlib.Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    user = next(int(child) for child in children if int(child) != pid)
    sleeper = [int(p) for p in pathlib.Path(f"/proc/{user}/task/{user}/children").read_text().split() if int(p) != pid]
    for victim in [user, *sleeper]:
        os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.02)
    check("server ends with the mount", not os.path.exists(f"/proc/{pid}"))
    running.wait(timeout=20)


def main():
    if os.geteuid() != 0:
        skip("needs root")
    if shutil.which("mksquashfs") is None:
        skip("needs mksquashfs (squashfs-tools)")
    if not os.path.exists("/dev/fuse"):
        skip("needs /dev/fuse")
    with tempfile.TemporaryDirectory(prefix="slipway-squashfs-") as folder:
        lab = Lab(sys.argv[1], folder)
        source = lab.make_source("source")
        check_images(lab, source)
        check_place(lab, source, f"{folder}/zstd.sqfs")
        check_damage(lab, f"{folder}/gzip.sqfs")
        check_damage(lab, f"{folder}/zstd.sqfs")
        check_server(lab, f"{folder}/zstd.sqfs")
        check_big_directory(lab)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
