# SPDX-License-Identifier: Apache-2.0
"""Steps of Slurm without Slurm: step_task plays slurmstepd and its tasks."""
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import unittest

import world
from hang import READ, Gate, hold_server_of
from harness import wait_until
from lab import Step


class Steps(Step):
    def test_tasks_share_a_container(self):
        for image in (world.SQSH, world.TREE):
            for uid in (world.UID, 0):
                done = self.step("sh", "-c", "id; readlink /proc/self/ns/mnt; cat /etc/os-release; "
                                 "grep -E 'Cap(Prm|Eff)|NoNew' /proc/self/status", image=image,
                                 uid=uid, options=["--tasks", "3"])
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                namespaces = re.findall(r"mnt:\[(\d+)\]", done.stdout)
                self.assertEqual(len(namespaces), 3)
                self.assertEqual(len(set(namespaces)), 1)
                self.assertEqual(done.stdout.count("Slipway test"), 3)
                self.assertEqual(done.stdout.count("0000000000000000"), 6)
                self.assertEqual(len(re.findall(r"NoNewPrivs:\s+1", done.stdout)), 3)
                self.assert_gone(done.stdout)

    def test_groups_stay_and_cannot_be_shed(self):
        done = self.step("sh", "-c", "id -G; cat /proc/self/setgroups")
        numbers = set(done.stdout.splitlines()[1].split())
        self.assertEqual(numbers, set(world.GROUPS.split(",")))
        self.assertIn("deny", done.stdout)

    def test_root_opens_fuse_where_the_user_may_not(self):
        os.chmod("/dev/fuse", 0o600)
        try:
            done = self.step("cat", "/etc/os-release")
        finally:
            os.chmod("/dev/fuse", 0o666)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Slipway test", done.stdout)

    def test_errors_reach_the_first_task(self):
        for options, image, code in ((["--bind", "/nowhere:/m"], None, "mount-source-missing"),
                                     (["--workdir", "/nosuch"], None, "workdir-missing"),
                                     ([], world.AREA / "none.sif", "image-not-found")):
            done = self.step("true", image=image, options=options)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"slipway: error: {code}: ", done.stdout)
            self.assert_gone(done.stdout)

    def test_sigkill_of_slurmstepd(self):
        process, launcher, server = self.linger()
        process.kill()
        process.wait(10)
        self.assert_dead(launcher, server)

    def test_sigkill_of_the_launcher(self):
        _, launcher, server = self.linger()
        os.kill(launcher, signal.SIGKILL)
        self.assert_dead(launcher, server)

    def test_sigterm_of_the_launcher(self):
        _, launcher, server = self.linger()
        os.kill(launcher, signal.SIGTERM)
        self.assert_dead(launcher, server)

    def test_sigkill_of_the_server(self):
        process, launcher, server = self.linger()
        os.kill(server, signal.SIGKILL)
        self.assert_dead(server)
        process.kill()
        process.wait(10)
        self.assert_dead(launcher)

    @unittest.skipIf(READ is None, "the numbers of system calls are not known here")
    def test_a_killed_launcher_does_not_wait_for_its_server(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Many look-ups, so that the launcher is still at work when its server is held.
            binds = ",".join(f"{world.AREA}/source:/d{i}" for i in range(250))
            with Gate(world.LAUNCH) as gate:
                _, launcher = self.start("sleep", "100", gate=gate, options=["--bind", binds])
            server = hold_server_of(launcher)
            place = pathlib.Path(f"/proc/{launcher}/wchan")
            self.assertTrue(wait_until(lambda: place.read_text() == "request_wait_answer"))
            os.kill(launcher, number)
            self.assert_dead(launcher)
            os.waitpid(server, 0x40000000)  # a traced process is its tracer's to reap

    def test_closed_standard_streams(self):
        """None of the launcher's own files gets the number of a stream."""
        for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            tasks, launchers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            parent = os.pidfd_open(os.getpid())
            step = launchers.fileno()
            process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{step} 4<&{parent} </dev/null >/dev/null 2>&1 {closed}', "bash",
                 world.LAUNCH, "step", "--uid", str(world.UID), "--gid", str(world.UID), "--step-fd", "3",
                 "--parent-fd", "4", "--config", str(world.CONFIG)], pass_fds=(step, parent), cwd="/")
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            launchers.close()
            os.close(parent)
            with tasks:
                tasks.settimeout(30)
                magic, _, kind = struct.unpack("<IHH", tasks.recv(8192)[:8])
                self.assertEqual((magic, kind), (0x59575053, 1), closed)  # "unshared"
                streams = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)]
                self.assertEqual(streams, ["/dev/null"] * 3, closed)

    def test_wrong_arguments(self):
        for words in ([], ["step"], ["step", "--uid", "x", "--gid", "1", "--step-fd", "3",
                                     "--parent-fd", "4", "--config", "/x"]):
            done = subprocess.run([world.LAUNCH, *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("by Slipway's Slurm plugin", done.stderr)
