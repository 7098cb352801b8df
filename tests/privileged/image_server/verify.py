#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs inside the mount namespace: holds a mounted image against the description of its source.

verify.py tree DESCRIPTION MOUNT       everything, one reader
verify.py readers DESCRIPTION MOUNT N  contents only, N processes in different orders
verify.py killed MOUNT                 kills the server: errors, no hanging
verify.py signals MOUNT                signals for the job do not end the server
verify.py damaged MOUNT                some reads give EIO, none hangs, the rest works
"""
import ctypes
import errno
import json
import os
import pathlib
import random
import signal
import stat
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tree  # noqa: E402

LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
LIBC.opendir.restype = ctypes.c_void_p
LIBC.opendir.argtypes = [ctypes.c_char_p]
LIBC.readdir.restype = ctypes.c_void_p
LIBC.readdir.argtypes = [ctypes.c_void_p]
LIBC.telldir.restype = ctypes.c_long
LIBC.telldir.argtypes = [ctypes.c_void_p]
LIBC.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
LIBC.closedir.argtypes = [ctypes.c_void_p]


def fail(text):
    print("verify: " + text, file=sys.stderr)
    sys.exit(1)


def expect(error, action, what):
    try:
        action()
    except OSError as seen:
        if seen.errno == error:
            return
        fail(f"{what}: {seen}, expected {errno.errorcode[error]}")
    fail(f"{what}: worked, expected {errno.errorcode[error]}")


def compare(wanted, seen):
    for path in sorted(wanted.keys() | seen.keys()):
        if wanted.get(path) != seen.get(path):
            name = bytes.fromhex(path)
            fail(f"{name!r} differs:\n source {wanted.get(path)}\n image  {seen.get(path)}")


def read_name(stream):
    record = LIBC.readdir(stream)
    return ctypes.string_at(record + 19) if record else None  # struct dirent: d_name


def check_seeking(path):
    """Every telldir position leads back to the same entry, in any order."""
    stream = LIBC.opendir(os.fsencode(path))
    places = []
    while True:
        place = LIBC.telldir(stream)
        name = read_name(stream)
        if name is None:
            end = place
            break
        places.append((place, name))
    names = [name for _, name in places]
    if len(set(names)) != len(names) or set(names) != {os.fsencode(n) for n in os.listdir(path)} | {b".", b".."}:
        fail(f"{path}: the listing has lost or doubled names")
    sample = random.Random(1).sample(places, min(len(places), 400))
    for place, name in sample:
        LIBC.seekdir(stream, place)
        if read_name(stream) != name:
            fail(f"{path}: seekdir({place}) does not lead to {name!r}")
    LIBC.seekdir(stream, end)
    if read_name(stream) is not None:
        fail(f"{path}: there is something behind the end")
    LIBC.closedir(stream)


def check_pieces(mount, description):
    """Reads at odd places give the same bytes as reading from the start."""
    rng = random.Random(7)
    for name in ("mixed", "counting", "sparse", "random-1048577", "text-300000", "random-1"):
        path = f"{mount}/data/{name}"
        with open(path, "rb") as content:
            whole = content.read()
        with open(path, "rb", buffering=0) as content:
            os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            for _ in range(200):
                offset = rng.randrange(len(whole) + 10)
                count = rng.choice((1, 100, 4096, 10000, 200000))
                if os.pread(content.fileno(), count, offset) != whole[offset : offset + count]:
                    fail(f"{path}: wrong bytes at {offset}")
                if rng.randrange(20) == 0:
                    os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check_errors(mount):
    expect(errno.ENOENT, lambda: os.stat(f"{mount}/data/missing"), "a missing name")
    expect(errno.ENOENT, lambda: os.stat(f"{mount}/data/missing"), "a missing name, again")
    expect(errno.ENOENT, lambda: os.stat(f"{mount}/kinds/dangling"), "a dangling link")
    expect(errno.ENOTDIR, lambda: os.stat(f"{mount}/kinds/one/x"), "a name below a file")
    expect(errno.ENAMETOOLONG, lambda: os.stat(f"{mount}/" + "x" * 256), "a name that is too long")
    expect(errno.EROFS, lambda: open(f"{mount}/new", "wb"), "making a file")
    expect(errno.EROFS, lambda: open(f"{mount}/kinds/one", "ab"), "opening for writing")
    expect(errno.EROFS, lambda: os.mkdir(f"{mount}/new"), "mkdir")
    expect(errno.EROFS, lambda: os.unlink(f"{mount}/kinds/one"), "unlink")
    expect(errno.EROFS, lambda: os.chmod(f"{mount}/kinds/one", 0o777), "chmod")
    if not os.access(f"{mount}/kinds/mode-755", os.R_OK | os.X_OK):
        fail("access() says no")


def check_owner(mount):
    for folder, names, files in os.walk(os.fsencode(f"{mount}/kinds")):
        for name in names + files:
            facts = os.lstat(os.path.join(folder, name))
            if (facts.st_uid, facts.st_gid) != (os.getuid(), os.getgid()):
                fail(f"{name!r} belongs to {facts.st_uid}:{facts.st_gid}")


def check_identity(mount):
    """d_ino of a listing, st_ino and the parent's number agree."""
    for folder in (f"{mount}/kinds", f"{mount}/deep/level-0"):
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.inode() != entry.stat(follow_symlinks=False).st_ino:
                    fail(f"{entry.path}: two inode numbers")
    if os.stat(f"{mount}/deep/level-0/..").st_ino != os.stat(f"{mount}/deep").st_ino:
        fail("'..' has another inode number than the directory")


def check_statfs(mount):
    facts = os.statvfs(mount)
    if facts.f_namemax != 255 or facts.f_blocks == 0 or facts.f_bfree != 0 or not facts.f_flag & os.ST_RDONLY:
        fail(f"statvfs: {facts}")


def whole_tree(description, mount):
    with open(description) as file:
        wanted = json.load(file)
    with_attributes = wanted[""].get("attributes") is not None
    compare(wanted, tree.describe(mount, with_attributes))
    compare(wanted, tree.describe(mount, with_attributes))  # now from what the kernel remembers
    for folder in ("data/small", "kinds", "empty", "many", "deep"):
        if os.path.isdir(f"{mount}/{folder}"):
            check_seeking(f"{mount}/{folder}")
    check_pieces(mount, wanted)
    check_errors(mount)
    check_owner(mount)
    check_identity(mount)
    check_statfs(mount)


def one_reader(wanted, mount, number):
    files = [path for path, record in wanted.items() if "sha256" in record and record["size"] != 0]
    random.Random(number).shuffle(files)
    for path in files:
        with open(os.path.join(os.fsencode(mount), bytes.fromhex(path)), "rb") as content:
            data = content.read()
            os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if tree.digest(data) != wanted[path]["sha256"]:
            fail(f"{bytes.fromhex(path)!r}: wrong content for reader {number}")


def readers(description, mount, count):
    with open(description) as file:
        wanted = json.load(file)
    children = []
    for number in range(int(count)):
        pid = os.fork()
        if pid == 0:
            one_reader(wanted, mount, number)
            os._exit(0)
        children.append(pid)
    if any(os.waitpid(pid, 0)[1] != 0 for pid in children):
        sys.exit(1)


def killed(mount):
    os.stat(f"{mount}/data")
    opened = open(f"{mount}/data/counting", "rb", buffering=0)
    os.kill(int(os.environ["SQUASHFS_SERVER_PID"]), signal.SIGKILL)
    signal.alarm(10)  # hanging ends this program with a signal
    for _ in range(100):
        try:
            os.stat(f"{mount}/kinds/never-seen")
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                break
        time.sleep(0.02)
    expect(errno.ENOTCONN, lambda: os.stat(f"{mount}/kinds/other/link-0"), "a look-up without server")
    expect(errno.ENOTCONN, lambda: opened.read(), "a read without server")


def signals(mount):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGALRM, signal.SIGXCPU):
        os.kill(int(os.environ["SQUASHFS_SERVER_PID"]), number)
    time.sleep(0.05)
    with open(f"{mount}/data/counting", "rb") as content:
        if len(content.read()) != 3200000:
            fail("short read after signals")


def damaged(mount):
    signal.alarm(60)
    good = bad = 0
    for folder, _, files in os.walk(mount):
        for name in files:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as content:
                        content.read()
                    good += 1
            except PermissionError:
                pass
            except OSError as error:
                if error.errno != errno.EIO:
                    fail(f"{path}: {error}, expected EIO")
                bad += 1
    print(f"damaged: {good} files could be read, {bad} could not")
    if bad == 0 or good == 0:
        fail("the damage had no effect, or took everything")


if __name__ == "__main__":
    {"tree": whole_tree, "readers": readers, "killed": killed, "signals": signals, "damaged": damaged}[sys.argv[1]](
        *sys.argv[2:]
    )
