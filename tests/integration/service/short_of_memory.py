#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""slipwayd that may have little memory, while one user's images cost more: who is served?

short_of_memory.py SLIPWAYD LAYOUTS: LAYOUTS has attributes/ of hostile_images.py, good1/ and good2/. Starts the
service twice, as a user of its own: in a memory cgroup (where one can be made) and with a limit of its own
(RLIMIT_DATA), each smaller than what a conversion may ask for. One user asks for the hostile image, another for
good ones meanwhile and afterwards. Fails when the service ends, when the other user waits in vain, or when the
hostile image gets anything but an error whose code says what it was. Needs root."""
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import threading
import time

from many_images import exchange

LIMIT = 192 << 20
SERVICE, HOSTILE, OTHER = 54900, 54901, 54902  # users
# The budget or the own limit was reached; the kernel ended the conversion.
EXPECTED = ("limit-exceeded", "system")
HERE = pathlib.Path(__file__).parent


class Cgroup:
    """A memory cgroup for whoever enters it; None of version 1 or 2 can be made: self.path is None."""

    def __init__(self, name):
        self.path = None
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            path = pathlib.Path(root) / name
            try:
                path.mkdir()
                (path / limit).write_text(str(LIMIT))
                self.path = path
                return
            except OSError:
                if path.exists():
                    path.rmdir()

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for _ in range(100):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.05)
        return None


def limit_data():
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def as_user(uid, work):
    """What work() returns, a text, for the user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        become(uid)
        os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    return said


def outcome(path, reference):
    """What becomes of an image: "ready", or the code of its error."""
    body = json.dumps({"reference": reference}).encode()
    job = json.loads(exchange(path, "POST", "/v1/images", body).split(b"\r\n\r\n", 1)[1])
    if "id" not in job:
        return str(job)
    events = exchange(path, "GET", "/v1/images/%s/events" % job["id"]).decode()
    last = json.loads([line for line in events.splitlines() if line.startswith("{")][-1])
    return "ready" if last["event"] == "ready" else last.get("code", str(last))


def attack(service, path, registry):
    """Problems: the hostile image, and good ones for another user while it is converted and afterwards."""
    problems, answers = [], []
    stage = lambda user, name: as_user(user, lambda: outcome(path, "docker://%s/%s:latest" % (registry, name)))

    def serves(name):
        said = stage(OTHER, name)
        if said != "ready":
            problems.append("another user's image %s: %s" % (name, said))
        if not as_user(OTHER, lambda: exchange(path, "GET", "/healthz").decode()).endswith("ok\n"):
            problems.append("the service does not say that it is well")

    hostile = threading.Thread(target=lambda: answers.append(stage(HOSTILE, "attributes")))
    hostile.start()
    while hostile.is_alive():
        serves("good1")
        hostile.join(0.2)
    serves("good2")
    if answers[0] not in EXPECTED:
        problems.append("the hostile image: " + answers[0])
    if service.poll() is not None:
        problems.append("the service ended with %d" % service.returncode)
    return problems


def try_limit(program, registry, enter):
    with tempfile.TemporaryDirectory(prefix="slipway-short-") as folder:
        os.chmod(folder, 0o755)
        os.mkdir(folder + "/run")
        os.chown(folder + "/run", SERVICE, SERVICE)
        path, config = folder + "/run/s", folder + "/slipway.yaml"
        with open(config, "w") as out:
            out.write("store: {path: %s/run/store}\nservice: {listen: [\"unix:%s\"], workers: 3}\n"
                      # Stacks of threads count, and a machine may have many cores.
                      "convert: {threads: 2}\n"
                      "registries:\n  \"%s\": {insecure: true}\n" % (folder, path, registry))
        with open(folder + "/log", "w") as log:
            service = subprocess.Popen([program, "--config", config], stderr=log,
                                       preexec_fn=lambda: (enter(), become(SERVICE)))
        try:
            while not os.path.exists(path):
                assert service.poll() is None, open(folder + "/log").read()
                time.sleep(0.05)
            problems = attack(service, path, registry)
            if problems:
                problems.append(open(folder + "/log").read()[-2000:])
            return problems
        finally:
            service.terminate()
            service.wait()


def main():
    program, layouts = sys.argv[1:]
    with subprocess.Popen([sys.executable, HERE.parent / "layouts.py", "serve", layouts], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as server:
        try:
            registry = "127.0.0.1:" + server.stdout.readline().strip()
            problems = {"own limit": try_limit(program, registry, limit_data)}
            cgroup = Cgroup("slipway-short-%d" % os.getpid())
            if cgroup.path:
                try:
                    problems["cgroup"] = try_limit(program, registry, cgroup.enter)
                finally:
                    cgroup.remove()
        finally:
            server.terminate()
    for name, found in problems.items():
        print("ok" if not found else "NOT OK", name, *found, sep="\n    " if found else " ")
    sys.exit(any(problems.values()))


if __name__ == "__main__":
    main()
