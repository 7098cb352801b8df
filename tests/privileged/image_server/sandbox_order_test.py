# SPDX-License-Identifier: Apache-2.0
"""Nothing of an image is read before the reading process is locked up.

sandbox_order_test.py SLIPWAY    needs root, strace, mksquashfs and /dev/fuse; else skipped (77)

Traces `slipway exec` and `slipway inspect` and looks at every call that can bring bytes of the image
into a process: before it, that process must have dropped its capabilities and put on its filter.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

READING = {"read", "pread64", "readv", "preadv", "preadv2", "mmap", "sendfile", "copy_file_range", "splice"}
CALLS = ",".join(sorted(READING | {"prctl", "capset", "clone", "clone3", "fork", "vfork"}))


def unable():
    if os.geteuid() != 0:
        return "not root"
    for tool in ("strace", "mksquashfs"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return None if os.path.exists("/dev/fuse") else "no /dev/fuse"


class Process:
    def __init__(self, parent=None):
        self.dropped = parent.dropped if parent else False
        self.locked = parent.locked if parent else False


def early_reads(trace, image):
    """Calls on the image by processes that were not locked up, and the number of the others."""
    processes = {}
    started = {}  # calls that another process' line has cut in two
    early, good = [], 0
    for line in trace.splitlines():
        match = re.match(r"(\d+)\s+(.*)", line)
        pid, text = match.group(1), match.group(2)
        process = processes.setdefault(pid, Process())
        if text.endswith("<unfinished ...>"):
            started[pid] = text[:-len("<unfinished ...>")]
            if not text.startswith(("clone", "fork", "vfork")):
                text = started[pid] + ") = 0"  # what it does is known, and happens before its end
            else:
                continue
        elif text.startswith("<..."):
            text = started.pop(pid, "") + text.split("resumed>", 1)[1]
            if not text.startswith(("clone", "fork", "vfork")):
                continue
        call = text.split("(", 1)[0]
        if call in ("clone", "clone3", "fork", "vfork"):
            child = re.search(r"= (\d+)(<.*>)?$", text)
            if child and int(child.group(1)) > 0:
                processes.setdefault(child.group(1), Process()).__init__(process)
        elif call == "capset":
            process.dropped = "effective=0, permitted=0, inheritable=0" in text
        elif call == "prctl" and "PR_SET_SECCOMP" in text:
            process.locked = True
        elif call in READING and f"<{image}>" in text:
            if process.dropped and process.locked:
                good += 1
            else:
                early.append(line)
    return early, good


def check(slipway, folder, image, *command, status=(0,)):
    trace = folder / "trace"
    done = subprocess.run(["strace", "-f", "-y", "-qq", "-o", trace, "-e", f"trace={CALLS}", "-e", "signal=none",
                           slipway, *command], capture_output=True, text=True, cwd=folder, timeout=120)
    name = " ".join(str(word) for word in command)
    if done.returncode not in status:
        print(f"FAILED: {name}: {done.returncode}: {done.stderr}")
        return False
    early, good = early_reads(trace.read_text(errors="replace"), image)
    if early or good == 0:
        print(f"FAILED: {name}: {good} reads behind the sandbox, {len(early)} before:", *early[:5], sep="\n  ")
        return False
    print(f"passed: {name}: {good} reads, all behind the sandbox")
    return True


def main():
    reason = unable()
    if reason:
        print("SKIPPED:", reason)
        return 1 if os.environ.get("REQUIRE_ALL") == "1" else 77
    slipway = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="slipway-order.") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        tree = folder / "tree"
        (tree / ".singularity.d").mkdir(parents=True)
        (tree / ".singularity.d" / "labels.json").write_text('{"a": "b"}')
        for empty in ("proc", "dev", "sys", "tmp", "etc"):
            (tree / empty).mkdir()
        busybox = shutil.which("busybox")
        if busybox:
            (tree / "bin").mkdir()
            shutil.copy(busybox, tree / "bin" / "true")
        image = folder / "image.sqsh"
        subprocess.run(["mksquashfs", tree, image, "-quiet", "-no-progress"], check=True, stdout=subprocess.DEVNULL)
        passed = check(slipway, folder, image, "inspect", image)
        if busybox:
            passed = check(slipway, folder, image, "exec", image, "/bin/true") and passed
        sample = pathlib.Path(os.environ.get("SLIPWAY_SAMPLES", "")) / "busybox_amd64.sif"
        if sample.is_file() and os.uname().machine == "x86_64":
            sif = folder / "image.sif"
            shutil.copy(sample, sif)
            passed = check(slipway, folder, sif, "inspect", "--all", sif) and passed
            # Whatever commands the sample has: the image was mounted and looked into.
            passed = check(slipway, folder, sif, "exec", sif, "/bin/true", status=(0, 255)) and passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
