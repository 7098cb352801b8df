#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slipwayd among many images, good and hostile: how much memory does it keep?

many_images.py SLIPWAYD GOOD HOSTILE [MIB]: starts the service with a store and a registry of its own in a
temporary directory, has it stage that many small images, and compares its resident memory afterwards with
that at its start. Fails when it grew by more than MIB (64), when the service ended, when a good image was
refused or a hostile one was staged.
"""
import concurrent.futures
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import random
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DEEP = "/".join(["d"] * 120)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(names, content=b""):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Image:
    """One image: documents and blobs, and whether it can be staged."""

    def __init__(self, number, hostile):
        self.hostile = hostile
        mark = str(number).encode()
        shape = number % 6 if hostile else -1
        tar = tar_of(["etc/which"], mark)
        if shape == 0:  # many entries, each far down a path that nobody else shares
            tar = tar_of("%d/%d/%s/x" % (number, i, DEEP) for i in range(300))
        elif shape == 1:  # a path deeper than anything allowed
            tar = tar_of(["/".join(["e"] * 2000)], mark)
        blob = gzip.compress(tar, 1, mtime=0)
        diff_id = digest_of(tar)
        if shape == 2:  # cut in the middle
            blob = blob[:len(blob) // 2]
        elif shape == 3:  # no layer at all
            blob = random.Random(number).randbytes(4000)
        size, layer = len(blob), digest_of(blob)
        if shape == 4:  # not what the configuration says
            diff_id = digest_of(mark)
        elif shape == 5:  # a claim
            size = 4 << 40
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode()
        self.blobs = {layer: blob, digest_of(config): config}
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": layer, "size": size}]}).encode()
        # The first shape is only expensive: whether it is staged is a matter of limits.
        self.may_be_staged = not hostile or shape == 0


@functools.lru_cache(64)
def image(number, hostile):
    """The same one for all requests that a client makes for it: making them anew took most of the time."""
    return Image(number, hostile)


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hostile_of = {"good": False, "hostile": True}

    def do_GET(self):
        parts = self.path.split("/")  # "", v2, good, NUMBER, manifests|blobs, WHAT
        if len(parts) != 6 or parts[2] not in self.hostile_of:
            return self.give(200 if self.path == "/v2/" else 404, "application/json", b"{}")
        found = image(int(parts[3]), self.hostile_of[parts[2]])
        if parts[4] == "manifests":
            return self.give(200, MANIFEST, found.manifest)
        blob = found.blobs.get(parts[5])
        return self.give(200 if blob else 404, "application/octet-stream", blob or b"")

    do_HEAD = do_GET

    def give(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest_of(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def exchange(path, method, target, body=b""):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(300)
        peer.connect(path)
        peer.sendall(b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                     % (method.encode(), target.encode(), len(body), body))
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
        return answer


def stage(path, reference):
    """"ready" or "failed"."""
    body = json.dumps({"reference": reference}).encode()
    job = json.loads(exchange(path, "POST", "/v1/images", body).split(b"\r\n\r\n", 1)[1])
    if "id" not in job:
        return "refused: %s" % job
    events = exchange(path, "GET", "/v1/images/%s/events" % job["id"])
    return "ready" if b'"event":"ready"' in events else "failed"


def resident(pid):
    with open("/proc/%d/status" % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) >> 10


def main():
    program, good, hostile, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int((sys.argv[4:] or ["64"])[0])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = "127.0.0.1:%d" % server.server_port
    with tempfile.TemporaryDirectory(prefix="slipway-many-") as folder:
        path, config = folder + "/s", folder + "/slipway.yaml"
        with open(config, "w") as out:
            out.write("store: {path: %s/store, quota: 1GiB}\nservice: {listen: [\"unix:%s\"], workers: 2}\n"
                      "registries:\n  \"%s\": {insecure: true}\n" % (folder, path, registry))
        service = subprocess.Popen([program, "--config", config], stderr=open(folder + "/log", "w"))
        try:
            while not os.path.exists(path):
                assert service.poll() is None, open(folder + "/log").read()
                time.sleep(0.05)
            assert stage(path, "docker://%s/good/1000000:1" % registry) == "ready", open(folder + "/log").read()
            start = resident(service.pid)
            wrong = []

            def one(kind, number):
                outcome = stage(path, "docker://%s/%s/%d:1" % (registry, kind, number))
                allowed = ["ready"] if kind == "good" else ["failed"]
                if kind == "hostile" and image(number, True).may_be_staged:
                    allowed.append("ready")
                if outcome not in allowed:
                    wrong.append("%s %d: %s" % (kind, number, outcome))

            work = [("good", i) for i in range(good)] + [("hostile", i) for i in range(hostile)]
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda item: one(*item), sorted(work, key=lambda item: item[1])))
            time.sleep(2)
            assert service.poll() is None, "the service ended: " + open(folder + "/log").read()[-2000:]
            end = resident(service.pid)
            print("resident memory: %d MiB at the start, %d MiB after %d good and %d hostile images"
                  % (start, end, good, hostile))
            assert not wrong, wrong[:5]
            assert end - start <= most, "it grew by more than %d MiB" % most
        finally:
            service.terminate()
            service.wait()


if __name__ == "__main__":
    main()
