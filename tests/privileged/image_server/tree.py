# SPDX-License-Identifier: Apache-2.0
"""A source tree with every kind of file and corner that SquashFS has, and its description."""
import errno
import hashlib
import os
import random
import socket
import stat
import struct

# More than a directory's short form (64 KiB) and hundreds of headers can say. gensquashfs takes a time that
# grows with the square: for it so many that the directory still has an index of many entries.
BIG_DIRECTORY = 20000
INDEXED_DIRECTORY = 3000


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write(path, data, mode=0o644, mtime=None):
    with open(path, "wb") as out:
        out.write(data)
    os.chmod(path, mode)
    if mtime is not None:
        os.utime(path, (mtime, mtime))


def make_data(root, rng):
    """Files around every size that matters to blocks and fragments."""
    folder = root + "/data"
    os.mkdir(folder)
    for size in (0, 1, 11, 4095, 4096, 4097, 65535, 131071, 131072, 131073, 262144, 300000, 1048576, 1048577):
        write(f"{folder}/random-{size}", rng.randbytes(size))
        write(f"{folder}/text-{size}", (b"The quick brown fox %d. " % size * (size // 20 + 1))[:size])
    # Neither compressible nor a single kind of block: raw and compressed ones in turn.
    mixed = b"".join(rng.randbytes(50000) + b"z" * 90000 + os.urandom(0) for _ in range(60))
    write(f"{folder}/mixed", mixed)
    write(f"{folder}/counting", b"".join(struct.pack("<Q", i) for i in range(400000)))
    with open(f"{folder}/sparse", "wb") as out:
        out.seek(3000000)
        out.write(b"island")
        out.seek(9000001)
        out.write(rng.randbytes(100))
        out.truncate(12345678)
    with open(f"{folder}/all-hole", "wb") as out:
        out.truncate(2000000)
    os.mkdir(f"{folder}/small")
    for i in range(1500):
        write(f"{folder}/small/{i}", rng.randbytes(rng.randrange(1, 6000)) + b"x" * rng.randrange(3000))


def make_kinds(root):
    """Every file type, odd modes and times, links, names and attributes."""
    folder = root + "/kinds"
    os.mkdir(folder)
    write(f"{folder}/one", b"linked", mtime=1)
    os.mkdir(f"{folder}/other")
    for i in range(5):
        os.link(f"{folder}/one", f"{folder}/other/link-{i}")
    for mode in (0, 0o1, 0o400, 0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o7777):
        write(f"{folder}/mode-{mode:o}", b"m", mode=mode)
        os.mkdir(f"{folder}/dir-{mode:o}")
        os.chmod(f"{folder}/dir-{mode:o}", mode)
    for mtime in (0, 1, 2**31 - 1, 2**31, 2**32 - 1):
        write(f"{folder}/time-{mtime}", b"t", mtime=mtime)
    os.symlink("one", f"{folder}/link")
    os.symlink("x" * 4095, f"{folder}/link-4095")
    os.symlink("/absolute/target/that/is/not/there", f"{folder}/dangling")
    os.mknod(f"{folder}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(f"{folder}/big-device", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
    os.mkfifo(f"{folder}/fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/socket")
    listener.close()
    for name in (b"n" * 255, b"with space", b"new\nline", "süß-✓".encode(), b"\xff\xfe\x01", b"-dash", b"~"):
        write(os.path.join(os.fsencode(folder), name), name)


def make_attributes(root, rng):
    folder = root + "/attributes"
    os.mkdir(folder)
    os.setxattr(folder, "user.directory", b"yes")
    write(f"{folder}/plain", b"")
    for i in range(40):
        path = f"{folder}/file-{i}"
        write(path, b"%d" % i)
        os.setxattr(path, "user.number", b"%d" % i)
        os.setxattr(path, "user.same", b"the same long value " * 20)
        os.setxattr(path, "user.empty", b"")
        if i % 3 == 0:
            os.setxattr(path, "user." + "n" * 200, rng.randbytes(2000))
        if i % 4 == 0:
            os.setxattr(path, "security.test", bytes(range(64)))
        if i % 5 == 0:
            os.setxattr(path, "trusted.hidden", b"only root")
    os.symlink("plain", f"{folder}/link")


def make_deep(root):
    path = root + "/deep"
    os.mkdir(path)
    for level in range(60):
        path += f"/level-{level}"
        os.mkdir(path)
        write(f"{path}/file", b"%d" % level)


def make_big_directory(root, entries):
    folder = root + "/many"
    os.mkdir(folder)
    for i in range(entries):
        with open(f"{folder}/entry-{i * 7919 % entries:05d}{'-longer-name' * (i % 4)}", "wb") as out:
            if i % 37 == 0:
                out.write(b"%d" % i)


def make(root, entries_of_big_directory=0):
    rng = random.Random(20240517)
    os.mkdir(root)
    make_data(root, rng)
    make_kinds(root)
    make_attributes(root, rng)
    make_deep(root)
    os.mkdir(f"{root}/empty")
    if entries_of_big_directory:
        make_big_directory(root, entries_of_big_directory)
    os.utime(root, (1600000000, 1600000000))


def attributes_of(path):
    """All but trusted.*, which the server hides from everybody."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {n: os.getxattr(path, n, follow_symlinks=False).hex() for n in names if not n.startswith("trusted.")}
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENODATA):
            raise
        return {}


def describe_one(path, facts, with_attributes):
    kind = stat.S_IFMT(facts.st_mode)
    record = {"mode": facts.st_mode, "mtime": int(facts.st_mtime), "nlink": facts.st_nlink}
    if kind == stat.S_IFREG:
        record["size"] = facts.st_size
        with open(path, "rb") as content:
            record["sha256"] = digest(content.read())
    elif kind == stat.S_IFLNK:
        record["size"] = facts.st_size
        record["target"] = os.readlink(path).hex()
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        record["rdev"] = [os.major(facts.st_rdev), os.minor(facts.st_rdev)]
    if with_attributes:
        record["attributes"] = attributes_of(path)
    return record


def describe(root, with_attributes=True):
    """{relative path in hex: facts}; files with several names get a group number."""
    root = os.fsencode(root)
    out = {}
    groups = {}
    stack = [b""]
    while stack:
        relative = stack.pop()
        path = os.path.join(root, relative) if relative else root
        facts = os.lstat(path)
        record = describe_one(path, facts, with_attributes)
        if stat.S_ISDIR(facts.st_mode):
            names = os.listdir(path)
            record["entries"] = len(names)
            stack.extend(os.path.join(relative, name) if relative else name for name in names)
        elif facts.st_nlink > 1:
            record["first"] = groups.setdefault(facts.st_ino, relative.hex())
        out[relative.hex()] = record
    # The first name of a group depends on the order of the walk: take the smallest instead.
    smallest = {}
    for relative, record in out.items():
        if "first" in record:
            smallest[record["first"]] = min(smallest.get(record["first"], relative), relative)
    for record in out.values():
        if "first" in record:
            record["first"] = smallest[record["first"]]
    return out
