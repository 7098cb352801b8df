# SPDX-License-Identifier: Apache-2.0
"""Real registries (Debian's docker-registry) and images for tests."""
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("%s failed: %s" % (command[0], done.stderr))


class Layout:
    """An OCI image layout made of random layers."""

    def __init__(self, path, seed=1):
        self.path = path
        self.random = random.Random(seed)
        self.entries = []
        os.makedirs(os.path.join(path, "blobs/sha256"))

    def blob(self, content):
        digest = hashlib.sha256(content).hexdigest()
        with open(os.path.join(self.path, "blobs/sha256", digest), "wb") as out:
            out.write(content)
        return {"digest": "sha256:" + digest, "size": len(content)}

    def json_blob(self, document, media_type):
        return dict(self.blob(json.dumps(document).encode()), mediaType=media_type)

    def image(self, sizes, architecture="amd64"):
        layers = [dict(self.blob(self.random.randbytes(size)),
                       mediaType="application/vnd.oci.image.layer.v1.tar") for size in sizes]
        config = {"architecture": architecture, "os": "linux", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": self.json_blob(config, "application/vnd.oci.image.config.v1+json"),
                    "layers": layers}
        return dict(self.json_blob(manifest, MANIFEST),
                    platform={"os": "linux", "architecture": architecture})

    def name(self, entry, tag):
        self.entries.append(dict(entry, annotations={"org.opencontainers.image.ref.name": tag}))
        with open(os.path.join(self.path, "oci-layout"), "w", encoding="utf-8") as out:
            out.write('{"imageLayoutVersion":"1.0.0"}')
        with open(os.path.join(self.path, "index.json"), "w", encoding="utf-8") as out:
            json.dump({"schemaVersion": 2, "manifests": self.entries}, out)

    def index(self, entries):
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        return self.json_blob(document, INDEX)


class Registry:
    """docker-registry on loopback; with `login` ("user:password") also TLS."""

    def __init__(self, directory, login=None):
        self.directory = directory
        self.login = login
        self.port = free_port()
        os.makedirs(directory)
        lines = ["version: 0.1", "log: {level: error, accesslog: {disabled: true}}",
                 "storage: {filesystem: {rootdirectory: %s/data}}" % directory,
                 "http:", "  addr: 127.0.0.1:%d" % self.port]
        if login:
            self.make_certificate()
            self.write_htpasswd()
            lines += ["  tls: {certificate: %s/server.pem, key: %s/server.key}" % (directory, directory),
                      "auth: {htpasswd: {realm: test, path: %s/htpasswd}}" % directory]
        with open(self.file("config.yml"), "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
        with open(self.file("log"), "wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", self.file("config.yml")],
                                            stdout=log, stderr=log)
        self.wait()

    def file(self, name):
        return os.path.join(self.directory, name)

    @property
    def host(self):
        return "127.0.0.1:%d" % self.port

    def make_certificate(self):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA",
            "-keyout", self.file("ca.key"), "-out", self.file("ca.pem"))
        run("openssl", "req", *key, "-subj", "/CN=localhost",
            "-keyout", self.file("server.key"), "-out", self.file("server.csr"))
        with open(self.file("names"), "w", encoding="utf-8") as out:
            out.write("subjectAltName=IP:127.0.0.1,DNS:localhost")
        run("openssl", "x509", "-req", "-in", self.file("server.csr"), "-CA", self.file("ca.pem"),
            "-CAkey", self.file("ca.key"), "-CAcreateserial", "-days", "2",
            "-extfile", self.file("names"), "-out", self.file("server.pem"))

    def write_htpasswd(self):
        user, password = self.login.split(":", 1)
        # perl is part of every Debian, and its crypt() knows bcrypt, the only hash that the
        # registry accepts.
        made = subprocess.run(["perl", "-e", r'print crypt($ARGV[0], "\$2y\$05\$" . "a" x 22)', password],
                              capture_output=True, text=True, check=True).stdout
        with open(self.file("htpasswd"), "w", encoding="utf-8") as out:
            out.write("%s:%s\n" % (user, made))

    def wait(self):
        for _ in range(100):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("docker-registry does not listen")

    def push(self, layout, tag, repository):
        extra = ["--dest-creds", self.login] if self.login else []
        run("skopeo", "copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false", *extra,
            "oci:%s:%s" % (layout.path, tag), "docker://%s/%s" % (self.host, repository))

    def close(self):
        self.process.terminate()
        self.process.wait()


def missing_tools():
    return [tool for tool in ("docker-registry", "skopeo", "openssl", "perl") if not shutil.which(tool)]
