#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hold_server.py LAUNCHER CONFIG: waits for a step's launcher with that site file to be started and holds
its image's server with requests in hand, so that the launcher waits in FUSE. Prints "ready" when a step may
be started, then "held PID" with the launcher's pid. Ends with the server."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "privileged/launcher"))
from hang import WALL, Gate, hold_server_of  # noqa: E402


def main(program, config):
    with Gate(program) as gate:
        print("ready", flush=True)
        launcher = gate.next_of(config)
    server = hold_server_of(launcher)
    while pathlib.Path(f"/proc/{launcher}/wchan").read_text() != "request_wait_answer":
        time.sleep(0.01)
    print(f"held {launcher}", flush=True)
    while not os.WIFSIGNALED(os.waitpid(server, WALL)[1]):
        pass


main(*sys.argv[1:])
