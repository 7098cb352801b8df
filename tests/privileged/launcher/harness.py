# SPDX-License-Identifier: Apache-2.0
"""What launcher_test.py needs around its tests."""
import os
import pathlib
import shutil
import sys
import time


def unable():
    if os.geteuid() != 0:
        return "not root"
    for tool in ("unshare", "mksquashfs", "mknod"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    return None


def skip(reason):
    print("SKIPPED:", reason)
    sys.exit(1 if os.environ.get("REQUIRE_ALL") == "1" else 77)


def processes(word):
    """Living processes whose command line has the word (zombies have none)."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if word in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def wait_until(condition, seconds=5, pause=0.02):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(pause)
    return False


def described(word):
    """The same processes with their state, for a failed test's message."""
    lines = []
    for pid in processes(word):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
            lines.append(" ".join(status[:3] + [line for line in status if line.startswith("PPid")]))
        except OSError:
            pass
    return lines


def children(pid):
    """Of any thread of a process."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            pass  # a thread that has just ended
    return found


def ended(pid):
    """No such process, or nothing of it but its exit status."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b""
    except OSError:
        return True
