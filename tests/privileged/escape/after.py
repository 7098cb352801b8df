# SPDX-License-Identifier: Apache-2.0
"""Staying: processes of a container that try to outlive it."""
import os
import signal
import subprocess
import time

import world
from attacks import running, wait_for_sleep
from harness import described
from lab import Prompt, Step


class AfterTheJob(Step):
    def outlived(self, how, count):
        """What is left of a step that has started `count` sleeping processes, after its launcher has ended."""
        mark = f"54321.{time.monotonic_ns() % 10**9}"
        _, launcher, server = self.linger("sh", "-c", how.replace("SLEEP", f"sleep {mark}") + " sleep 0.2")
        self.assertEqual(len(wait_for_sleep(mark, count)), count, described(mark))  # control: they would stay
        os.kill(launcher, signal.SIGTERM)
        self.assert_dead(launcher, server)
        return [line for pid in running(mark) for line in described(mark)]

    def test_nothing_of_a_container_outlives_it(self):
        for how, count in (("SLEEP &", 1), ("setsid SLEEP &", 1), ("(setsid sh -c 'SLEEP & SLEEP &' &);", 2),
                           ("trap '' TERM HUP INT; setsid SLEEP &", 1),
                           ("cd /proc; exec </dev/null >/dev/null; SLEEP &", 1)):
            with self.subTest(how=how):
                self.assertEqual(self.outlived(how, count), [])

    def test_containers_in_the_container(self):
        for how in ("setsid unshare -Urm SLEEP &", "setsid unshare -Urmpf SLEEP &",
                    "setsid unshare -Ur unshare -Ur unshare -Urm SLEEP &"):
            with self.subTest(how=how):
                self.assertEqual(self.outlived(how, 1), [])

    def test_many_that_fork_meanwhile(self):
        how = ("i=0; while [ $i -lt 20 ]; do setsid sh -c 'while :; do SLEEP & kill $!; wait; done' & i=$((i+1)); done "
               "2>/dev/null; SLEEP &")
        mark = f"54321.{time.monotonic_ns() % 10**9}"
        _, launcher, server = self.linger("sh", "-c", how.replace("SLEEP", f"sleep {mark}") + " sleep 0.2")
        wait_for_sleep(mark)
        os.kill(launcher, signal.SIGTERM)
        self.assert_dead(launcher, server)
        time.sleep(0.2)
        self.assertEqual(running(mark), [])

    def test_who_has_entered_from_outside(self):
        mark = f"54321.{time.monotonic_ns() % 10**9}"
        process, launcher = self.start("sleep", mark)
        task = wait_for_sleep(mark)[0]
        inside = subprocess.Popen(["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(task), "sleep", mark],
                                  user=world.UID, group=world.UID, extra_groups=[], cwd="/", env=world.ENV)
        self.addCleanup(inside.wait)
        self.addCleanup(inside.kill)
        wait_for_sleep(mark, 2)
        process.kill()
        process.wait()
        self.assert_dead(launcher, task, inside.pid)
        self.assertEqual(running(mark), [])


class Scripts(Prompt):
    def test_scripts_leave_nothing_behind(self):
        mark = f"54321.25{os.getpid()}"
        daemons = (f"sleep {mark} &\n(sleep {mark} &)\n"
                   f"sh -c 'setsid sh -c \"sleep {mark} & sleep {mark}\" &' &\n"
                   f"trap '' TERM HUP\nexport STARTED=$(sh -c 'setsid sleep {mark} >/dev/null & echo yes')\n")
        done = self.with_script(daemons)
        self.assertIn("STARTED=yes\n", done.stdout)
        self.assertEqual(described(mark), [])  # at once: before the command has begun
        done = self.with_script(daemons + "exit 3\n")
        self.assertEqual(done.returncode, 255)
        self.assertEqual(described(mark), [])

    def test_scripts_in_namespaces_of_their_own(self):
        mark = f"54321.28{os.getpid()}"
        done = self.with_script(f"setsid unshare -Urmpf sleep {mark} &\nexport STARTED=$(echo yes)\n")
        self.assertIn("STARTED=yes\n", done.stdout)
        self.assertEqual(described(mark), [])
