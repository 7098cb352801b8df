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


def wait_until(condition, seconds=5):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.02)
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
