#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How slipwayd answers. Run it in a cluster of its own, as root:

    tests/cluster/with --plugin none -- contrib/bench/service/bench.py [--image NAME] [--requests N]

Starts slipwayd on an empty store and prints:
  cold     N requests in flight for one image that is not there: downloads, conversions, answers
  cached   1,000 requests a second for an image that is there: p50, p99, against an empty request
  memory   resident set of the service, idle, at its peak, and afterwards
"""
import argparse
import json
import os
import pathlib
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
CLUSTER = HERE.parents[2] / "tests/cluster"


def rss(pid, key="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0.0


def post(reference):
    body = json.dumps({"reference": reference}).encode()
    return (b"POST /v1/images HTTP/1.1\r\nHost: x\r\nSlipway-Api: 1\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


def connect(path):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    return client


def answer(client):
    """One whole reply with Content-Length: status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
    while len(body) < length:
        body += client.recv(65536)
    return int(head.split()[1]), body


class Waiter:
    """A connection that asks for the image and listens to its events until it is ready."""

    def __init__(self, path, request):
        self.socket = connect(path)
        self.socket.setblocking(False)
        self.out = request
        self.data = b""
        self.state = "posted"
        self.done_at = None

    def writable(self):
        self.out = self.out[self.socket.send(self.out):]

    def readable(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise RuntimeError(f"the service closed a connection in state {self.state}: {self.data[-200:]!r}")
        self.data += chunk
        if self.state == "posted" and b"\r\n\r\n" in self.data and self.data.endswith(b"}\n"):
            reply = json.loads(self.data.split(b"\r\n\r\n", 1)[1])
            if reply["state"] == "ready":
                self.finish()
                return
            self.out = f"GET /v1/images/{reply['id']}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            self.data = b""
            self.state = "listening"
        elif self.state == "listening" and self.data.endswith(b"0\r\n\r\n"):
            if b'"event":"ready"' not in self.data:
                raise RuntimeError(f"not ready: {self.data[-400:]!r}")
            self.finish()

    def finish(self):
        self.state = "done"
        self.done_at = time.monotonic()


def cold(path, reference, count):
    selector = selectors.DefaultSelector()
    request = post(reference)
    started = time.monotonic()
    waiters = []
    for _ in range(count):
        waiter = Waiter(path, request)
        waiters.append(waiter)
        selector.register(waiter.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, waiter)
    opened = time.monotonic()
    open_count = count
    while open_count:
        for key, events in selector.select(timeout=120):
            waiter = key.data
            if events & selectors.EVENT_WRITE and waiter.out:
                waiter.writable()
            if events & selectors.EVENT_READ:
                waiter.readable()
            if waiter.state == "done":
                selector.unregister(waiter.socket)
                waiter.socket.close()
                open_count -= 1
            else:
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if waiter.out else 0)
                if key.events != wanted:
                    selector.modify(waiter.socket, wanted, waiter)
    first = min(w.done_at for w in waiters)
    last = max(w.done_at for w in waiters)
    return opened - started, first - started, last - first


def paced(path, request, rate, seconds):
    client = connect(path)
    latencies = []
    begin = time.monotonic()
    for i in range(int(rate * seconds)):
        due = begin + i / rate
        while time.monotonic() < due:
            time.sleep(max(0.0, due - time.monotonic()) / 2)
        sent = time.monotonic()
        client.sendall(request)
        status, _ = answer(client)
        latencies.append(time.monotonic() - sent)
        if status != 200:
            raise RuntimeError(f"status {status}")
    latencies.sort()
    took = time.monotonic() - begin
    return len(latencies) / took, latencies[len(latencies) // 2] * 1e3, latencies[int(len(latencies) * 0.99)] * 1e3


def metric(path, name):
    client = connect(path)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    _, body = answer(client)
    return next(int(line.split()[1]) for line in body.decode().splitlines() if line.startswith(f"slipway_{name} "))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", default="debian-py")
    parser.add_argument("--requests", type=int, default=10000)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.requests + 100 > most:
        sys.exit(f"{options.requests} connections need more than the {most} descriptors that are allowed here")
    cluster = pathlib.Path(os.environ["CLUSTER_DIR"])
    tag = subprocess.run([CLUSTER / "push-images", cluster, options.image], check=True, capture_output=True,
                         text=True).stdout.split()[-1]
    shutil.rmtree(cluster / "store", ignore_errors=True)
    (cluster / "store").mkdir(mode=0o755)
    path = str(cluster / "run/slipwayd.sock")
    pathlib.Path(path).parent.mkdir(exist_ok=True)
    os.chown(pathlib.Path(path).parent, os.geteuid(), -1)  # the service takes no directory of another user
    service = subprocess.Popen([os.environ["SLIPWAY_BUILD"] + "/bin/slipwayd", "--config", os.environ["SLIPWAY_CONFIG"]],
                               stderr=subprocess.DEVNULL)
    try:
        while not os.path.exists(path):
            if service.poll() is not None:
                sys.exit("slipwayd ended; start it by hand to see why")
            time.sleep(0.01)
        time.sleep(0.3)
        idle = rss(service.pid)
        opened, first, spread = cold(path, f"docker://{tag}", options.requests)
        print(f"cold: {options.requests} requests in flight for one image: {metric(path, 'images_staged_total')} conversion, "
              f"{options.requests} answers; connected in {opened:.2f} s, image ready after {first:.2f} s, "
              f"the last answer {spread * 1e3:.0f} ms after the first")
        peak = rss(service.pid, "VmHWM")
        request = post(f"docker://{tag}")
        rows = []
        for _ in range(3):  # interleaved with the floor: an empty request on the same socket
            rows.append((paced(path, request, 1000, 3), paced(path, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 1000, 3)))
        cached = sorted(r[0][2] for r in rows)[1]
        floor = sorted(r[1][2] for r in rows)[1]
        rate = min(r[0][0] for r in rows)
        print(f"cached: {rate:.0f} requests/s, p50 {sorted(r[0][1] for r in rows)[1]:.2f} ms, p99 {cached:.2f} ms; "
              f"empty request p99 {floor:.2f} ms, ratio {cached / floor:.2f}")
        print(f"memory: idle {idle:.1f} MiB, peak {peak:.1f} MiB, now {rss(service.pid):.1f} MiB")
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
