# SPDX-License-Identifier: Apache-2.0
"""OCI image layouts, SIF and tree walking for the converter's tests."""
import gzip
import hashlib
import json
import os
import stat
import struct
import subprocess

TYPES = {"gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
         "plain": "application/vnd.oci.image.layer.v1.tar",
         "zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}


class Layer:
    """One layer: its tar, and what lies in the blob store and the documents about it."""

    def __init__(self, tar, packing="gzip", blob=None, media=None, diff_id=None, claim=None,
                 size=None):
        self.tar = tar
        if blob is None:
            blob = pack(tar, packing)
        self.blob, self.media = blob, media or TYPES[packing]
        self.diff_id = diff_id or sha(tar)
        self.claim = claim or sha(blob)  # digest in the manifest and name of the file
        self.size = len(blob) if size is None else size


def pack(tar, packing):
    if packing == "gzip":
        return gzip.compress(tar, 6, mtime=0)
    if packing == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=tar, stdout=subprocess.PIPE,
                              check=True).stdout
    return tar


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_layout(path, layers, config=None):
    blobs = os.path.join(path, "blobs/sha256")
    os.makedirs(blobs)

    def store(data, digest=None):
        digest = digest or sha(data)
        with open(os.path.join(blobs, digest.split(":")[1]), "wb") as out:
            out.write(data)
        return digest

    config = json.dumps({"architecture": "amd64", "os": "linux", "config": config or {},
                         "rootfs": {"type": "layers", "diff_ids": [l.diff_id for l in layers]}})
    config = config.encode()
    for layer in layers:
        store(layer.blob, layer.claim)
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                           "digest": store(config), "size": len(config)},
                "layers": [{"mediaType": l.media, "digest": l.claim, "size": l.size}
                           for l in layers]}
    manifest = json.dumps(manifest).encode()
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": store(manifest),
         "size": len(manifest), "annotations": {"org.opencontainers.image.ref.name": "latest"}}]}
    with open(os.path.join(path, "index.json"), "w") as out:
        json.dump(index, out)
    with open(os.path.join(path, "oci-layout"), "w") as out:
        json.dump({"imageLayoutVersion": "1.0.0"}, out)


def partition(path):
    """Offset of the root file system of a SIF."""
    with open(path, "rb") as sif:
        head = sif.read(128)
        assert head[32:41] == b"SIF_MAGIC", "no SIF"
        total, table = struct.unpack_from("<qq", head, 88)
        sif.seek(table)
        for _ in range(total):
            raw = sif.read(585)
            kind, used = struct.unpack_from("<iB", raw)
            if used and kind == 0x4004:
                return struct.unpack_from("<q", raw, 17)[0]
    raise AssertionError("no partition")


def unpack_sif(sif, target):
    done = subprocess.run(["unsquashfs", "-q", "-n", "-o", str(partition(sif)), "-d", target, sif],
                          capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def walk(top):
    """{path: facts} of a tree; hard links appear as the set of their names."""
    top = os.fsencode(top)
    found, inodes = {}, {}

    def visit(path, name):
        info = os.lstat(path)
        facts = {"mode": oct(info.st_mode), "owner": (info.st_uid, info.st_gid),
                 "mtime": int(info.st_mtime)}
        if stat.S_ISLNK(info.st_mode):
            facts["target"] = os.readlink(path)
        if stat.S_ISREG(info.st_mode):
            with open(path, "rb") as content:
                facts["content"] = (info.st_size, hashlib.file_digest(content, "sha256").hexdigest())
        if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            facts["device"] = (os.major(info.st_rdev), os.minor(info.st_rdev))
        xattrs = {}
        for key in os.listxattr(path, follow_symlinks=False):
            if key.startswith(("user.", "trusted.", "security.")):
                xattrs[key] = os.getxattr(path, key, follow_symlinks=False)
        facts["xattrs"] = xattrs
        found[name] = facts
        if not stat.S_ISDIR(info.st_mode):
            inodes.setdefault(info.st_ino, []).append(name)
            return
        for child in os.listdir(path):
            visit(path + b"/" + child, name + b"/" + child if name != b"." else child)

    visit(top, b".")
    for names in inodes.values():
        for name in names:
            found[name]["links"] = sorted(names)
    return found


# What the converter itself puts into every image (tests/unit/image checks the content).
NATIVE = {b".singularity.d", b".exec", b".run", b".shell", b".test", b"singularity", b"environment",
          b"dev", b"proc", b"root", b"sys", b"tmp", b"var", b"var/tmp", b"home", b"etc",
          b"etc/hosts", b"etc/resolv.conf"}
EMPTIED = {b"etc/hosts", b"etc/resolv.conf"}  # made empty: binds go there


def differences(expected, actual, made_after):
    """Lines that say how two trees differ. Times that umoci itself made up are not compared."""
    out = []
    for path in sorted(expected.keys() | actual.keys()):
        if path not in expected:
            if path not in NATIVE and not path.startswith(b".singularity.d/"):
                out.append(f"{path!r} should not be there")
            continue
        if path in EMPTIED and expected[path]["mode"].startswith("0o100"):
            continue
        if path not in actual:
            out.append(f"{path!r} is missing")
            continue
        want, have = dict(expected[path]), dict(actual[path])
        if want["mtime"] >= made_after:
            want["mtime"] = have["mtime"]
        for key in sorted(want.keys() | have.keys()):
            if want.get(key) != have.get(key):
                out.append(f"{path!r} {key}: want {want.get(key)!r}, have {have.get(key)!r}")
    return out
