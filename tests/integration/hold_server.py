#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hold_server.py CONFIG: waits for a launcher with that site file to be started and holds its image's
server with requests in hand, so that the launcher waits in FUSE. Prints "ready" when a launcher may be
started, then "held PID" with the launcher's pid. Ends with the server."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "privileged/launcher"))
from hang import WALL, hold_server_of  # noqa: E402


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


def main():
    launcher = launcher_of(sys.argv[1])
    server = hold_server_of(launcher)
    while pathlib.Path(f"/proc/{launcher}/wchan").read_text() != "request_wait_answer":
        time.sleep(0.01)
    print(f"held {launcher}", flush=True)
    while not os.WIFSIGNALED(os.waitpid(server, WALL)[1]):
        pass


main()
