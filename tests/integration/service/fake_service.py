#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fake_service.py KIND SOCKET [PATH]: listens where clients expect slipwayd and is something else.
Says "holding" when it listens and "called" for every connection. PATH: the image that it names."""
import json
import os
import socket
import sys
import time


def answer(body, api="1", status="200 OK"):
    body = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
    version = "" if api is None else "Slipway-Api: %s\r\n" % api
    return ("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n" % (status, version, len(body))).encode() + body


def chunk(line):
    line = json.dumps(line).encode() + b"\n" if isinstance(line, dict) else line
    return b"%x\r\n%s\r\n" % (len(line), line)


EVENTS = b"HTTP/1.1 200 OK\r\nSlipway-Api: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
ACCEPTED = answer({"id": "0" * 32, "state": "running", "last_event": None}, status="202 Accepted")


def ready(path):
    # The node goes by the image's id, and makes the path from it.
    image = os.path.basename(path).removesuffix(".sif") if path.endswith(".sif") else "0" * 64
    return {"event": "ready", "path": path, "reference": "docker://x/y@sha256:" + "0" * 64,
            "image": image, "digest": "sha256:" + "0" * 64, "size": 1}


def talk(peer, kind, path):
    """What each kind says to the first request, and to the one for events."""
    done = {"id": "0" * 32, "state": "ready", "last_event": ready(path)}
    first = {
        "silent": None,
        "bytes": os.urandom(4096) + b"\r\n\r\n",
        "endless": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100000,
        "html": b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n",
        "not-json": answer(b"hello\n"),
        "huge": b"HTTP/1.1 200 OK\r\nSlipway-Api: 1\r\nContent-Length: 99999999999\r\n\r\n",
        "error-without-reason": answer({}, status="500 Oops"),
        "older": answer(done, "0"),
        "newer": answer(done, "2"),
        "unversioned": answer(done, None),
        "no-path": answer(dict(done, last_event={"event": "ready"})),
        "bad-path": answer(dict(done, last_event=ready("relative/\x1b[31m/path"))),
        "extended": ACCEPTED,
        "bad-events": ACCEPTED,
        "bad-chunks": ACCEPTED,
    }[kind]
    second = {
        "extended": EVENTS + chunk({"event": "verifying", "new": [1]}) + chunk(dict(ready(path), new={}))
                    + b"0\r\n\r\n",
        "bad-events": EVENTS + chunk(b"hello\n") + b"0\r\n\r\n",
        "bad-chunks": EVENTS + b"hello\r\n",
    }.get(kind)
    peer.recv(65536)
    if first is None:
        time.sleep(600)
    peer.sendall(first)
    if second:
        peer.recv(65536)
        peer.sendall(second)
    peer.recv(65536)


def main():
    kind, path, *image = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o777)
    if kind == "dead":
        return
    listener.listen(0 if kind == "full" else 16)
    fillers = []
    while kind == "full":
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        filler.setblocking(False)
        try:
            filler.connect(path)
            fillers.append(filler)
        except BlockingIOError:
            print("holding", flush=True)
            time.sleep(600)
    print("holding", flush=True)
    while True:
        peer, _ = listener.accept()
        print("called", flush=True)
        try:
            with peer:
                talk(peer, kind, image[0] if image else "/nonexistent.sif")
        except OSError:
            pass


main()
