# SPDX-License-Identifier: Apache-2.0
"""By way of other processes: the image's server, the launcher, tasks of others, and what is loaded into them."""
import os
import pathlib
import re
import time

import world
from attacks import OTHER, as_user, attack, wait_for_sleep
from harness import children, wait_until
from lab import Prompt, Step

FORBIDDEN = ["ptrace EPERM", "memory EPERM", "descriptor EPERM", "read EACCES", "write EACCES", "write EACCES",
             "enter EACCES"]


def against(pid):
    return ["ptrace", pid, ",", "memory", pid, ",", "descriptor", pid, ",", "read", f"/proc/{pid}/environ", ",",
            "write", f"/proc/{pid}/mem", ",", "write", f"/proc/{pid}/exe", ",", "enter", "mnt", pid]


class Others(Step):
    def sleeping(self):
        """A step whose task sleeps: task, launcher and server."""
        mark = f"54321.{time.monotonic_ns() % 10**9}"
        _, launcher = self.start("sleep", mark)
        return wait_for_sleep(mark)[0], launcher, children(launcher)[0]

    def test_privileged_parts_by_their_user(self):
        task, launcher, server = self.sleeping()
        for pid in (launcher, server):
            self.assertEqual(attack(*against(pid)), FORBIDDEN)
        # Control: what is the user's own is the user's; debuggers need that (docs/adr/0014).
        self.assertEqual(attack("ptrace", task, ",", "descriptor", task, ",", "read", f"/proc/{task}/environ"),
                         ["ptrace done", "descriptor done", "read done"])
        # The image itself is for those inside.
        self.assertEqual(attack("read", f"/proc/{task}/root/opt/marker"), ["read EACCES"])

    def test_privileged_parts_from_inside(self):
        script = ("while [ ! -s pids ]; do sleep 0.05; done; . ./pids; for pid in $launcher $server; do "
                  "attack ptrace $pid , memory $pid , descriptor $pid , read /proc/$pid/environ , "
                  "write /proc/$pid/mem , write /proc/$pid/exe , enter mnt $pid; done")
        (world.WORK / "pids").unlink(missing_ok=True)
        process, launcher = self.start("sh", "-c", script)
        self.assertTrue(wait_until(lambda: children(launcher)))
        made = world.WORK / "pids.new"
        made.write_text(f"launcher={launcher} server={children(launcher)[0]}\n")
        made.rename(world.WORK / "pids")
        self.assertEqual(process.stdout.read().splitlines()[:-1], FORBIDDEN * 2)

    def test_threads_of_the_launcher(self):
        _, launcher, server = self.sleeping()
        for pid in (launcher, server):
            for thread in os.listdir(f"/proc/{pid}/task"):  # the keeper is one of them
                self.assertEqual(attack(*against(thread))[0], "ptrace EPERM")
                self.assertEqual(attack("read", f"/proc/{pid}/task/{thread}/mem"), ["read EACCES"])

    def test_tasks_by_another_user(self):
        task, launcher, server = self.sleeping()
        for pid in (task, launcher, server):
            self.assertEqual(attack(*against(pid), uid=OTHER), FORBIDDEN)
        self.assertEqual(attack("read", f"/proc/{task}/root/opt/marker", ",", "enter", "user", task, uid=OTHER),
                         ["read EACCES", "enter EACCES"])

    def test_the_user_namespace_belongs_to_the_user(self):
        # docs/security.md, "What is a boundary, and what is not": whoever changes this changes that.
        task, launcher, _ = self.sleeping()
        self.assertEqual(attack("enter", "user", task, ",", "enter", "user", launcher), ["enter done", "enter EACCES"])
        self.assertEqual(as_user("readlink", f"/proc/{task}/exe").stdout, "/usr/bin/sleep\n")
        last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text())
        self.assertEqual(attack("into", "user", task, "caps"), [f"into caps {(1 << (last + 1)) - 1:016x} done"])
        # They count for nothing of the host.
        self.assertEqual(attack("into", "user", task, "write", "/dev/kmsg"), ["into write EACCES"])
        for thing in (("mount", "/opt"), ("hostname",), ("raw",), ("handle", "/")):
            self.assertEqual(attack("into", "user", task, *thing), [f"into {thing[0]} EPERM"])

    def test_launcher_is_protected_from_its_user(self):
        _, launcher, _ = self.sleeping()
        status = pathlib.Path(f"/proc/{launcher}/status").read_text()
        self.assertRegex(status, rf"Uid:\s+{world.UID}\s+{world.UID}\s+{world.UID}\s+{world.UID}")
        self.assertRegex(status, r"CapEff:\s+0000000000000000")
        self.assertRegex(status, r"NoNewPrivs:\s+1")
        self.assertEqual(os.stat(f"/proc/{launcher}/environ").st_uid, 0)  # not dumpable

    def test_malformed_packets_end_nobody(self):
        done = self.step("cat", "/opt/marker", options=["--tasks", "3", "--garbage", "40"])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("from the image\n"), 3)


class Programs(Prompt):
    def test_the_running_program_is_not_written(self):
        for image, uid, error in ((world.SQSH, world.UID, "EROFS"), (world.TREE, world.UID, "EACCES"),
                                  (world.SQSH, 0, "EROFS"), (world.TREE, 0, "ETXTBSY")):
            with self.subTest(image=image, uid=uid):
                self.assertEqual(self.ok("attack write /proc/self/exe", image=image, uid=uid), f"write {error}\n")
        # Nor later, when it is not running any more.
        self.assertEqual(self.ok("attack write /usr/bin/id", image=world.TREE, uid=0), "write EROFS\n")
        self.assertEqual(attack("write", world.TREE / "usr/bin/id", uid=0), ["write done"])  # control

    def test_the_hosts_program_behind_an_image(self):
        # An image's script begins as a child of the host's program: that must not be within reach.
        done = self.with_script("while read -r name value; do [ $name != PPid: ] || p=$value; done </proc/self/status\n"
                                "/usr/bin/attack write /proc/$p/exe , write /proc/$p/mem , read /proc/$p/environ , "
                                "ptrace $p , enter mnt $p >&2\n")
        self.assertEqual(done.stderr.splitlines(),
                         ["write EACCES", "write EACCES", "read EACCES", "ptrace ESRCH", "enter EACCES"])


class Loading(Step):
    PLACE = "preload.so"

    def library(self):
        """The attacker's library and what it has written."""
        library = world.AREA / self.PLACE
        library.write_bytes(pathlib.Path(world.PRELOAD).read_bytes())
        library.chmod(0o755)
        log = pathlib.Path(f"{library}.log")
        log.write_text("")
        log.chmod(0o666)
        return library, log

    def test_libraries_for_privileged_parts(self):
        library, log = self.library()
        place = world.AREA / "libraries"
        place.mkdir()
        for name in ("libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"):
            (place / name).symlink_to(library)
        environment = {"LD_PRELOAD": str(library), "LD_AUDIT": str(library), "LD_LIBRARY_PATH": str(place),
                       "GCONV_PATH": str(place), "LOCPATH": str(place), "GLIBC_TUNABLES": "glibc.malloc.check=3"}
        words = [part for name, value in environment.items() for part in ("--task-env", f"{name}={value}")]
        done = self.step("cat", "/opt/marker", options=words)
        self.assertIn("from the image\n", done.stdout, done.stderr)
        self.assertNotIn("slipway-launch", log.read_text())
        self.assertEqual(re.findall(r"(?m)^0 ", log.read_text()), [])
        # Control: it is loaded by what the user starts.
        attack_env = dict(world.ENV, LD_PRELOAD=str(library))
        os.spawnvpe(os.P_WAIT, "true", ["true"], attack_env)
        self.assertRegex(log.read_text(), r"/true\n")
