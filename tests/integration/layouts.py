#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OCI image layouts for tests, good and hostile.

    layouts.py good DIR MIB     busybox and MIB of random data
    layouts.py hostile DIR      one layout per fault below DIR; prints "NAME CODE" for each
    layouts.py claims DIR BYTES…  images whose only layer is small and claims to be so large: DIR/BYTES
    layouts.py serve DIR [PORT]  a registry of nothing but these layouts; prints its port.
                                NAME/ is as it is; drip-NAME/ sends large blobs over some seconds,
                                stall-NAME/ half of them and then nothing, gate-NAME/ holds them back
                                until DIR/open is there; logs "GET PATH BYTES" on standard error
"""
import http.server
import json
import os
import random
import shutil
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "convert"))
# pylint: disable=wrong-import-position
from oci import Layer, pack, sha, write_layout  # noqa: E402
from tarmaker import D, F, H, S, entry, gnu_sparse, header, tar  # noqa: E402

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer."
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def busybox():
    with open(shutil.which("busybox"), "rb") as program:
        binary = program.read()
    return [D("bin"), F("bin/busybox", binary, mode=0o755)] + [
        S("bin/" + name, "busybox") for name in ("sh", "cat", "echo", "true", "sleep", "wc", "ls")]


def good(directory, mib):
    noise = random.Random(mib).randbytes(mib << 20)
    write_layout(directory, [Layer(tar(busybox()), "gzip"), Layer(tar([F("noise", noise)]), "plain")])


def zeros(size, packing):
    """A layer with one file of zeros, packed piece by piece."""
    head = header(b"zeros", b"0", size)
    pieces = [head] + [bytes(1 << 20)] * (size >> 20) + [bytes(1024)]
    if packing == "gzip":
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        return b"".join([packer.compress(piece) for piece in pieces] + [packer.flush()])
    return pack(b"".join(pieces), packing)


FINE = tar([D("etc"), F("etc/passwd", "root:x:0:0::/:/bin/sh\n")])
PACKED = pack(FINE, "gzip")
BOMB = 256 << 20  # beyond the limit that the tests set, whatever it packs to


def faulty_layers():
    """{name: (code of the error, layers)}"""
    return {
        "truncated-layer": ("digest-mismatch", [Layer(FINE, blob=PACKED[:-20], claim=sha(PACKED), size=len(PACKED))]),
        "truncated-gzip": ("layer-invalid", [Layer(FINE, blob=PACKED[:-20])]),
        "size-too-small": ("digest-mismatch", [Layer(FINE, size=len(PACKED) - 1)]),
        "size-too-large": ("digest-mismatch", [Layer(FINE, size=len(PACKED) + 1)]),
        "wrong-digest": ("digest-mismatch", [Layer(FINE, claim=sha(b"another"))]),
        "wrong-diff-id": ("digest-mismatch", [Layer(FINE, diff_id=sha(b"another"))]),
        "gzip-bomb": ("limit-exceeded", [Layer(b"", blob=zeros(BOMB, "gzip"))]),
        "zstd-bomb": ("limit-exceeded", [Layer(b"", "zstd", blob=zeros(BOMB, "zstd"))]),
        "sparse-bomb": ("limit-exceeded", [Layer(tar([gnu_sparse("big", [((7 << 30) - 512, 512)], 7 << 30, b"x" * 512)]))]),
        "huge-entry": ("limit-exceeded", [Layer(tar([header(b"big", b"0", 8 << 30)], b""))]),
        "many-entries": ("limit-exceeded", [Layer(tar([F("d/%d" % i, "") for i in range(1500)]))]),
        "many-layers": ("limit-exceeded", [Layer(tar([F("a%d" % i, "")])) for i in range(12)]),
        "hard-link-outside": ("layer-invalid", [Layer(tar([H("stolen", "../../../../etc/shadow")]))]),
        "hard-link-absolute": ("layer-invalid", [Layer(tar([H("stolen", "/etc/shadow")]))]),
        "symlink-loop": ("layer-invalid", [Layer(tar([S("a", "b"), S("b", "a"), F("a/x")]))]),
        "huge-device-number": ("layer-invalid", [Layer(tar([entry("c", b"3", major=70000, minor=1)]))]),
        "foreign-layer": ("media-type", [Layer(FINE, media="application/x-something")]),
        "xz-layer": ("unsupported", [Layer(FINE, blob=b"\xfd7zXZ\0rest", media=LAYER + "v1.tar+xz")]),
        "hidden-xz-layer": ("unsupported", [Layer(FINE, blob=b"\xfd7zXZ\0rest")]),
        "bzip2-layer": ("unsupported", [Layer(FINE, blob=b"BZh91AY rest")]),
        "not-a-tar": ("layer-invalid", [Layer(b"this is a text and no archive. " * 40)]),
    }


def climbing():
    """What climbs out of the tree is not refused: like everywhere else it lands inside the tree."""
    return [Layer(tar(busybox() + [
        F("../../../../slipway-escaped", "caught"), F("/slipway-absolute", "caught"),
        S("out", "../../../../../tmp"), F("out/slipway-through-link", "caught"),
        entry("null", b"3", major=1, minor=3, mode=0o666), entry("disk", b"4", major=8, minor=0, mode=0o666),
        F("setuid", "#!/bin/sh\n", mode=0o4755)]))]


def rewrite_manifest(directory, change):
    """Gives a layout another manifest: `change` gets the parsed one and returns a new one."""
    index_path = os.path.join(directory, "index.json")
    with open(index_path, encoding="utf-8") as index_file:
        index = json.load(index_file)
    entry_of = index["manifests"][0]
    blobs = os.path.join(directory, "blobs/sha256")
    with open(os.path.join(blobs, entry_of["digest"].split(":")[1]), "rb") as manifest:
        document = change(json.load(manifest))
    text = json.dumps(document).encode()
    with open(os.path.join(blobs, sha(text).split(":")[1]), "wb") as out:
        out.write(text)
    entry_of.update(digest=sha(text), size=len(text), mediaType=document.get("mediaType", MANIFEST))
    with open(index_path, "w", encoding="utf-8") as out:
        json.dump(index, out)


def with_config_type(kind):
    def change(manifest):
        manifest["config"]["mediaType"] = kind
        return manifest
    return change


def absent(kind):
    def change(manifest):
        manifest["layers"][0].update(mediaType=kind, digest=sha(b"elsewhere"), urls=["https://127.0.0.1:1/layer"])
        return manifest
    return change


def schema1(_):
    return {"schemaVersion": 1, "mediaType": "application/vnd.docker.distribution.manifest.v1+json",
            "name": "old", "tag": "latest", "fsLayers": [{"blobSum": sha(PACKED)}], "history": []}


def helm(manifest):
    manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    manifest["layers"][0]["mediaType"] = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    return manifest


MANIFESTS = {
    "schema1": ("media-type", schema1),
    "helm-chart": ("media-type", helm),
    "foreign-config": ("media-type", with_config_type("application/x-something")),
    # Layers that lie elsewhere than in the registry: taken where they are there, else as below.
    "nondistributable": ("source-not-found", absent(LAYER + "nondistributable.v1.tar+gzip")),
    "docker-foreign": ("source-not-found", absent("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
}


def hostile(directory):
    for name, (code, layers) in faulty_layers().items():
        write_layout(os.path.join(directory, name), layers)
        print(name, code)
    for name, (code, change) in MANIFESTS.items():
        write_layout(os.path.join(directory, name), [Layer(FINE)])
        rewrite_manifest(os.path.join(directory, name), change)
        print(name, code)
    write_layout(os.path.join(directory, "climbing"), climbing())


class Handler(http.server.BaseHTTPRequestHandler):
    directory = None  # of the layouts
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # pylint: disable=invalid-name
        parts = self.path.strip("/").split("/")
        pace, _, rest = parts[1].partition("-") if len(parts) > 1 else ("", "", "")
        self.pace = pace if pace in ("drip", "gate", "stall") else ""
        if self.pace:
            parts[1] = rest
        if parts == ["v2"]:
            return self.answer(b"{}", "application/json")
        if len(parts) != 4 or parts[2] not in ("manifests", "blobs"):
            return self.send_error(404)
        try:
            return self.from_layout(os.path.join(self.directory, parts[1]), parts[2], parts[3])
        except ConnectionError:
            self.close_connection = True
            return None
        except OSError:
            return self.send_error(404)

    do_HEAD = do_GET

    def from_layout(self, layout, kind, name):
        media = "application/octet-stream"
        if kind == "manifests":
            with open(os.path.join(layout, "index.json"), encoding="utf-8") as index:
                named = json.load(index)["manifests"][0]
            name, media = named["digest"], named["mediaType"]
        with open(os.path.join(layout, "blobs/sha256", name.split(":")[1]), "rb") as blob:
            self.answer(blob.read(), media, name)

    def answer(self, body, media, digest=None):
        if self.command == "GET":
            print("GET", self.path, len(body), file=sys.stderr, flush=True)
        self.send_response(200)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET" and self.pace and len(body) > 1 << 20:
            self.send_slowly(body)
        elif self.command == "GET":
            self.wfile.write(body)

    def send_slowly(self, body):
        while self.pace == "gate" and not os.path.exists(os.path.join(self.directory, "open")):
            time.sleep(0.05)
        if self.pace == "gate":
            return self.wfile.write(body)
        pieces = 30
        for i in range(pieces):
            self.wfile.write(body[len(body) * i // pieces:len(body) * (i + 1) // pieces])
            if self.pace == "stall" and i == pieces // 2:
                time.sleep(3600)
            time.sleep(0.1)
        return None

    def log_message(self, *_):
        pass


def serve(directory, port):
    Handler.directory = directory
    http.server.ThreadingHTTPServer.daemon_threads = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "good":
        good(sys.argv[2], int(sys.argv[3]))
    elif len(sys.argv) == 3 and sys.argv[1] == "hostile":
        hostile(sys.argv[2])
    elif len(sys.argv) > 3 and sys.argv[1] == "claims":
        for claim in sys.argv[3:]:
            write_layout(os.path.join(sys.argv[2], claim), [Layer(FINE, size=int(claim))])
    elif len(sys.argv) in (3, 4) and sys.argv[1] == "serve":
        serve(sys.argv[2], int((sys.argv + ["0"])[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
