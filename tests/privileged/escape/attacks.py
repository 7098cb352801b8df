# SPDX-License-Identifier: Apache-2.0
"""What attackers bring along: images, and processes of their own."""
import ctypes
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import time

import world
from harness import processes, wait_until

AT_FDCWD, RENAME_EXCHANGE = -100, 2
ZERO = os.makedev(1, 5)
OTHER = world.UID + 1  # a user who has nothing to do with the container
# security.capability (linux/capability.h): version 2, CAP_NET_RAW permitted and effective.
RAW_CAPABILITY = bytes.fromhex("01000002" "00200000" "00000000" "00000000" "00000000")

libc = ctypes.CDLL(None, use_errno=True)


def populate():
    """What world.TREE has for this program's tests."""
    shutil.copy(world.ATTACK, world.TREE / "usr/bin/attack")
    (world.TREE / "opt/far").symlink_to("../" * 20 + "etc")
    (world.TREE / "opt/self").symlink_to("/proc/self/root/etc")
    bad_files(world.TREE / "opt/bad")
    bad_files(world.AREA / "bad")


def bad_files(place):
    """Files that would give rights where nothing defends: they belong to root, as in a hostile image."""
    place.mkdir()
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755)):
        shutil.copy(world.TREE / "usr/bin/id", place / name)
        (place / name).chmod(mode)
    shutil.copy(world.ATTACK, place / "capable")
    os.setxattr(place / "capable", "security.capability", RAW_CAPABILITY)
    os.mknod(place / "zero", 0o666 | stat.S_IFCHR, ZERO)
    (place / "zero").chmod(0o666)


def image_of(name, change):
    """The usual image after `change(tree)`. Made once, uncompressed."""
    image = world.AREA / f"{name}.sqsh"
    if not image.exists():
        tree = world.AREA / f"{name}.tree"
        subprocess.run(["cp", "-al", world.TREE, tree], check=True)
        change(tree)
        subprocess.run(["mksquashfs", tree, image, "-noI", "-noD", "-noF", "-noX", "-quiet", "-no-progress",
                        "-all-root"], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
    return image


def as_user(*words, uid=world.UID, **options):
    """What a user gets on the host."""
    return subprocess.run(words, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, timeout=30,
                          cwd="/", env=world.ENV, **options)


def attack(*words, uid=world.UID):
    """The lines of ../escape/attack on the host."""
    done = as_user(world.AREA / "tree/usr/bin/attack", *(str(word) for word in words), uid=uid)
    return done.stdout.strip().splitlines()


def running(mark):
    """The processes that run `sleep mark` (and have become that)."""
    found = []
    for pid in processes(mark):
        try:
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0"):
                found.append(pid)
        except OSError:
            pass
    return found


def wait_for_sleep(mark, count=1):
    assert wait_until(lambda: len(running(mark)) >= count, 20), mark
    return running(mark)


class Exchange:
    """Exchanges two names again and again, as fast as it goes, while the block runs."""

    def __init__(self, one, two):
        self.names = [os.fsencode(one), os.fsencode(two)]

    def __enter__(self):
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(120)
            rounds = 0
            while True:
                libc.renameat2(AT_FDCWD, self.names[0], AT_FDCWD, self.names[1], RENAME_EXCHANGE)
                rounds += 1
                if rounds % 50 == 0:
                    time.sleep(0)  # one core may be all there is
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
