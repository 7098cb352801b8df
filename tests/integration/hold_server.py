#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hold_server.py CONFIG: waits for a launcher with that site file to be started and holds its image's
server with requests in hand, so that the launcher waits in FUSE. Prints "ready" when a launcher may be
started, then "held PID" with the launcher's pid. Ends with the server."""
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "privileged/launcher"))
from hang import WALL, hold  # noqa: E402


def launcher_of(config):
    before = set(os.listdir("/proc"))
    print("ready", flush=True)
    while True:
        for pid in os.listdir("/proc"):
            if pid.isdigit() and pid not in before:
                try:
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if command.startswith(b"slipway-launch\0step\0") and config.encode() in command:
                    return int(pid)


def children(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def main():
    launcher = launcher_of(sys.argv[1])
    # A little at a time, so that it is still at its mounts when the server is there.
    os.kill(launcher, signal.SIGSTOP)
    while not children(launcher):
        os.kill(launcher, signal.SIGCONT)
        time.sleep(0.0005)
        os.kill(launcher, signal.SIGSTOP)
    server = children(launcher)[0]
    os.kill(launcher, signal.SIGCONT)
    hold(server)
    while pathlib.Path(f"/proc/{launcher}/wchan").read_text() != "request_wait_answer":
        time.sleep(0.01)
    print(f"held {launcher}", flush=True)
    while not os.WIFSIGNALED(os.waitpid(server, WALL)[1]):
        pass


main()
