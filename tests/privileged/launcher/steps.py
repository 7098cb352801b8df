# SPDX-License-Identifier: Apache-2.0
"""Steps of Slurm without Slurm: step_task plays slurmstepd and its tasks."""
import os
import pathlib
import re
import signal
import subprocess
import unittest

import world
from hang import READ, hold, libc
from harness import children, described, ended, processes, wait_until

CLONE_NEWUSER = 0x10000000
PR_SET_DUMPABLE = 4


class Steps(unittest.TestCase):
    def command(self, *words, uid=world.UID, image=None, options=()):
        return [world.STEP, "--launcher", world.LAUNCH, "--config", str(world.CONFIG), "--uid", str(uid),
                "--gid", str(uid), "--groups", world.GROUPS if uid else "0", *options,
                str(image or world.SQSH), *words]

    def step(self, *words, **options):
        return subprocess.run(self.command(*words, **options), capture_output=True, text=True, timeout=60,
                              cwd=world.WORK, env=world.ENV)

    def start(self, *words, **options):
        """A step that goes on, and the pid of its launcher."""
        process = subprocess.Popen(self.command(*words, **options), stdout=subprocess.PIPE, text=True,
                                   cwd=world.WORK, env=world.ENV)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, int(process.stdout.readline().split()[1])

    def assert_gone(self, output):
        pid = int(re.search(r"launcher (\d+)", output).group(1))
        self.assertTrue(wait_until(lambda: pid not in processes("slipway-launch")), pid)

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

    def linger(self, *words):
        process, launcher = self.start(*(words or ("true",)), options=["--linger", "100"])
        self.assertEqual(process.stdout.readline(), "task 0 exit 0\n")
        servers = children(launcher)
        self.assertEqual(len(servers), 1)
        return process, launcher, servers[0]

    def assert_dead(self, *pids):
        self.assertTrue(wait_until(lambda: all(ended(pid) for pid in pids)), pids)

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

    def test_malformed_packets_end_nobody(self):
        done = self.step("cat", "/opt/marker", options=["--tasks", "3", "--garbage", "40"])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("from the image\n"), 3)

    def test_nothing_of_a_container_outlives_it(self):
        mark = f"54321.26{os.getpid()}"
        process, launcher, server = self.linger("sh", "-c", f"setsid sleep {mark} & (setsid sh -c 'sleep {mark} &' &); "
                                          f"setsid unshare -Urm sleep {mark} & sleep 0.5")
        marked = lambda: [pid for pid in processes(mark) if pid != process.pid]
        self.assertEqual(len(marked()), 3, described(mark))
        os.kill(launcher, signal.SIGTERM)
        self.assert_dead(launcher, server)
        self.assertEqual(marked(), [], described(mark))

    @unittest.skipIf(READ is None, "the numbers of system calls are not known here")
    def test_a_killed_launcher_does_not_wait_for_its_server(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Many look-ups, so that the launcher is still at work when its server is held.
            binds = ",".join(f"{world.AREA}/source:/d{i}" for i in range(250))
            _, launcher = self.start("sleep", "100", options=["--bind", binds])
            self.assertTrue(wait_until(lambda: children(launcher), pause=0))
            os.kill(launcher, signal.SIGSTOP)
            server = children(launcher)[0]
            os.kill(launcher, signal.SIGCONT)
            hold(server)
            place = pathlib.Path(f"/proc/{launcher}/wchan")
            self.assertTrue(wait_until(lambda: place.read_text() == "request_wait_answer"))
            os.kill(launcher, number)
            self.assert_dead(launcher)
            os.waitpid(server, 0x40000000)  # a traced process is its tracer's to reap

    def test_the_user_namespace_belongs_to_the_user(self):
        # docs/security.md, "What is a boundary, and what is not": whoever changes this changes that.
        process, launcher = self.start("sleep", f"54321.27{os.getpid()}")
        self.assertTrue(wait_until(lambda: [pid for pid in processes(f"54321.27{os.getpid()}") if pid != process.pid]))
        task = [pid for pid in processes(f"54321.27{os.getpid()}") if pid != process.pid][0]
        child = os.fork()
        if child == 0:
            os._exit(self.enter_from_outside(task, launcher))
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    @staticmethod
    def enter_from_outside(task, launcher):
        """As the user, from the host. Gives the number of the first thing that is not as it should be."""
        os.setgroups([])
        os.setresgid(world.UID, world.UID, world.UID)
        os.setresuid(world.UID, world.UID, world.UID)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        try:
            os.readlink(f"/proc/{task}/exe")  # what debuggers and monitors of the user need
        except OSError:
            return 1
        try:
            os.open(f"/proc/{launcher}/ns/user", os.O_RDONLY)
            return 2
        except OSError:
            pass
        if libc.setns(os.open(f"/proc/{task}/ns/user", os.O_RDONLY), CLONE_NEWUSER) != 0:
            return 3
        status = pathlib.Path("/proc/self/status").read_text()
        effective = int(re.search(r"CapEff:\s+(\w+)", status).group(1), 16)
        if effective != (1 << (int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1)) - 1:
            return 4
        try:
            os.open("/dev/kmsg", os.O_WRONLY)  # capabilities that count for nothing of the host
            return 5
        except OSError:
            return 0

    def test_launcher_is_protected_from_its_user(self):
        _, launcher, _ = self.linger()
        status = pathlib.Path(f"/proc/{launcher}/status").read_text()
        self.assertRegex(status, rf"Uid:\s+{world.UID}\s+{world.UID}\s+{world.UID}\s+{world.UID}")
        self.assertRegex(status, r"CapEff:\s+0000000000000000")
        self.assertRegex(status, r"NoNewPrivs:\s+1")
        owner = os.stat(f"/proc/{launcher}/environ")
        self.assertEqual(owner.st_uid, 0)  # not dumpable

    def test_wrong_arguments(self):
        for words in ([], ["step"], ["step", "--uid", "x", "--gid", "1", "--step-fd", "3",
                                     "--parent-fd", "4", "--config", "/x"]):
            done = subprocess.run([world.LAUNCH, *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("by Slipway's Slurm plugin", done.stderr)
