#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill.py CONVERT_LAYOUT: kills the process of a conversion, and the one that started it, at random
moments. Whatever is left must not look like an image, and nobody may go on working. No privilege."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import oci
from tarmaker import F, tar

ROUNDS = 12


def write_layout(path):
    """Some 60 MiB that take a while to compress."""
    random.seed(7)
    layers = []
    for layer in range(3):
        content = b"".join(b"%x " % random.getrandbits(64) for _ in range(1_200_000))
        size = len(content) // 40
        layers.append(oci.Layer(tar([F(f"{layer}/{i}", content[i * size:(i + 1) * size])
                                     for i in range(40)]), "plain"))
    oci.write_layout(path, layers)


def converter_of(parent):
    """Pid of the conversion that this process started, None before and after."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children") as children:
            pids = [int(word) for word in children.read().split()]
    except OSError:
        return None
    for pid in pids:
        try:
            with open(f"/proc/{pid}/comm") as name:
                if name.read().strip() == "slipway-convert":
                    return pid
        except OSError:
            pass
    return None


def start(tool, work, options):
    return subprocess.Popen([tool, *options, work + "/layout", work + "/out.sif"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_converter(parent):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and parent.poll() is None:
        pid = converter_of(parent.pid)
        if pid is not None:
            return pid
        time.sleep(0.001)
    return None


def looks_like_image(path):
    with open(path, "rb") as file:
        return b"SIF_MAGIC" in file.read(128)


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def kill_child(tool, work, options, delay):
    parent = start(tool, work, options)
    child = wait_for_converter(parent)
    if child is None:
        return ["no conversion was seen"]
    time.sleep(delay)
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    message = parent.communicate(timeout=120)[1]
    if parent.returncode == 0:
        return [] if looks_like_image(work + "/out.sif") else ["it says that all is well, and there is no image"]
    problems = []
    if "slipway: error: system: " not in message or "signal 9 (SIGKILL)" not in message:
        problems.append("unclear: " + message.strip())
    if os.path.getsize(work + "/out.sif") != 0:
        problems.append("it left something behind")
    return problems


def kill_parent(tool, work, options, delay):
    parent = start(tool, work, options)
    child = wait_for_converter(parent)
    if child is None:
        return ["no conversion was seen"]
    time.sleep(delay)
    parent.kill()
    parent.communicate(timeout=120)
    deadline = time.monotonic() + 20
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    if running(child):
        return ["the conversion goes on without its parent"]
    if parent.returncode == -signal.SIGKILL and looks_like_image(work + "/out.sif"):
        # Complete it may be: then it is one in every byte.
        try:
            oci.unpack_sif(work + "/out.sif", work + "/tree")
        except (AssertionError, FileNotFoundError):
            return ["half an image looks like a whole one"]
    return []


def main():
    tool = os.path.abspath(sys.argv[1])
    failed = 0
    with tempfile.TemporaryDirectory(prefix="kill-") as work:
        write_layout(work + "/layout")
        begun = time.monotonic()
        start(tool, work, []).communicate()
        whole = time.monotonic() - begun
        random.seed()
        for round_ in range(ROUNDS):
            options = ["pipe=1"] if round_ % 2 else []
            delay = random.uniform(0, whole)
            for what in (kill_child, kill_parent):
                problems = what(tool, work, options, delay)
                for problem in problems:
                    print("NOT OK", what.__name__, f"after {delay:.3f} s of {whole:.3f}", *options, problem)
                failed += bool(problems)
    print(f"{2 * ROUNDS} kills, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
