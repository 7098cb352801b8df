# SPDX-License-Identifier: Apache-2.0
"""Containers with namespaces of their own, and the init of those that have processes of their own."""
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import world
from harness import children, ended, wait_until
from lab import Prompt

PID = {"own": "pid"}


class Namespaces(Prompt):
    def start(self, script, **options):
        """A container that has said "up", and the pid of the process outside of it."""
        process = subprocess.Popen(self.command("sh", "-c", f"echo up; {script}", **options), text=True,
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=world.WORK, env=world.ENV)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "up\n")
        return process

    def test_own_processes(self):
        for image in (world.SQSH, world.TREE):
            for uid in (world.UID, 0):
                with self.subTest(image=image, uid=uid):
                    out = self.ok("echo $$; cat /proc/1/comm; ls /proc | grep -c '^[0-9]'", image=image, uid=uid, **PID)
                    first, name, count = out.split()
                    self.assertNotEqual(first, "1")
                    self.assertEqual(name, "slipway-init")
                    self.assertLess(int(count), 6)
        self.assertEqual(self.ok("echo $$; cat /proc/1/comm", init=0, **PID), "1\nsh\n")

    def test_environment_scripts(self):
        """Their results are read from the node's /proc, where they have other numbers."""
        for options in (PID, {"init": 0, **PID}, {"no_mount": "proc", **PID}, {}):
            done = self.with_script('export SLIPWAY_TEST_MADE="$(echo it)"\n', **options)
            self.assertIn("SLIPWAY_TEST_MADE=it\n", done.stdout, done.stderr)

    def test_exit_codes(self):
        for init in (0, 1):
            with self.subTest(init=init):
                self.assertEqual(self.sh("exit 7", init=init, **PID).returncode, 7)
                self.assertEqual(self.run_as("/nosuch", init=init, **PID).returncode, 255)
                self.refused("/nowhere", "mount-source-missing", bind="/nowhere:/m", init=init, **PID)
        self.assertEqual(self.sh("kill -ABRT $$", **PID).returncode, 128 + signal.SIGABRT)
        self.assertEqual(self.sh("kill -KILL $$", **PID).returncode, 128 + signal.SIGKILL)

    def test_nothing_outlives_the_command(self):
        mark = f"7{os.getpid()}"
        self.ok(f"(trap '' TERM HUP; exec sleep {mark}) >/dev/null 2>&1 & sleep 0.1", **PID)
        self.assertFalse(self.alive(f"sleep\0{mark}"))

    def alive(self, words):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and words.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def test_init_reaps_what_is_left_to_it(self):
        out = self.ok("(sh -c 'sleep 0.05 & exit' &) ; sleep 0.4; grep -l 'State:.Z' /proc/[0-9]*/status; echo done", **PID)
        self.assertEqual(out, "done\n")

    def test_signals_reach_the_command(self):
        for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGUSR1, "USR1"), (signal.SIGHUP, "HUP"),
                             (signal.SIGINT, "INT"), (signal.SIGRTMIN + 3, str(signal.SIGRTMIN + 3))):
            process = self.start(f"trap 'echo got; exit 5' {name}; while :; do sleep 0.05; done", **PID)
            time.sleep(0.1)
            process.send_signal(number)
            self.assertEqual(process.stdout.readline(), "got\n", name)
            self.assertEqual(process.wait(10), 5)

    def test_a_timer_of_the_caller_ends_it(self):
        """alarm(2) before exec: the signal is for the process outside alone."""
        words = ["perl", "-e", "alarm 1; exec @ARGV", *self.command("sleep", "100", **PID)]
        done = subprocess.run(words, cwd=world.WORK, env=world.ENV, timeout=20)
        self.assertEqual(done.returncode, 128 + signal.SIGALRM)

    def test_what_the_caller_ignores_does_not_end_a_start(self):
        script = world.TREE / ".singularity.d/env/91-slow.sh"
        script.write_text("sleep 1\n")
        try:
            process = subprocess.Popen(["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh",
                                        *self.command("sh", "-c", "exit 3", image=world.TREE, **PID)],
                                       cwd=world.WORK, env=world.ENV)
            self.assertTrue(wait_until(lambda: len(children(process.pid)) == 1))
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(20), 3)
        finally:
            script.unlink()

    def test_a_signal_without_handler_ends_it(self):
        process = self.start("sleep 100", **PID)
        process.terminate()
        self.assertEqual(process.wait(10), 128 + signal.SIGTERM)

    def test_killed_from_outside(self):
        for init in (0, 1):
            mark = f"8{os.getpid()}{init}"
            process = self.start(f"setsid sleep {mark} & sleep {mark}", init=init, **PID)
            self.assertTrue(wait_until(lambda: len(self.alive(f"sleep\0{mark}")) == 2))
            first = children(process.pid)
            process.kill()
            process.wait(10)
            self.assertTrue(wait_until(lambda: not self.alive(f"sleep\0{mark}") and all(ended(pid) for pid in first)))

    def test_killed_init_ends_everything(self):
        process = self.start("sleep 100", **PID)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        self.assertEqual(process.wait(10), 128 + signal.SIGKILL)

    def test_a_start_that_hangs_can_be_ended(self):
        fifo = world.AREA / "slow.sh"
        script = world.TREE / ".singularity.d/env/91-slow.sh"
        script.write_text("sleep 5\n")
        try:
            process = subprocess.Popen(self.command("true", image=world.TREE, **PID), cwd=world.WORK, env=world.ENV)
            self.assertTrue(wait_until(lambda: self.alive("91-slow") or len(children(process.pid)) == 1))
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(3), 128 + signal.SIGINT)
        finally:
            script.unlink()
        self.assertFalse(fifo.exists())

    def in_terminal(self, words):
        """The pid of a process that is the leader of a terminal's session, and the other end."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(world.WORK)
            os.execvpe(words[0], words, world.ENV)
        terminal = open(terminal, "r+b", buffering=0)
        self.addCleanup(terminal.close)
        return pid, terminal

    def code_of(self, pid):
        """Of a child that should end now."""
        if not wait_until(lambda: ended(pid)):
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def read_until(self, terminal, word):
        seen = b""
        while word not in seen:
            self.assertTrue(select.select([terminal], [], [], 20)[0], seen)
            try:
                seen += terminal.read(1000)
            except OSError:
                self.fail(f"no {word} in {seen}")
        return seen

    def test_terminal(self):
        """Control-C reaches the command once; the shell in front gets the code."""
        script = "n=0; trap 'n=$((n+1))' INT; echo up; sleep 0.6; sleep 0.4; echo times $n"
        pid, terminal = self.in_terminal(self.command("sh", "-c", script, **PID))
        self.read_until(terminal, b"up")
        time.sleep(0.2)
        terminal.write(b"\x03")
        self.read_until(terminal, b"times 1")
        self.assertEqual(self.code_of(pid), 0)

    def test_a_terminal_that_is_closed(self):
        """Its session's leader alone is told: the process outside, under ssh for example."""
        mark = f"9{os.getpid()}"
        pid, terminal = self.in_terminal(self.command("sh", "-c", f"echo up; exec sleep {mark}", **PID))
        self.read_until(terminal, b"up")
        terminal.close()
        self.assertEqual(self.code_of(pid), 128 + signal.SIGHUP)
        self.assertTrue(wait_until(lambda: not self.alive(f"sleep\0{mark}")))

    def test_the_foreground_is_given_back(self):
        """A shell makes itself the foreground and has no number for the group before it."""
        taking = ("import os, signal; signal.signal(signal.SIGTTOU, signal.SIG_IGN); os.setpgid(0, 0); "
                  "os.tcsetpgrp(0, os.getpgid(0))")
        words = self.command("/node/usr/bin/python3", "-c", taking, bind=["/usr:/usr", "/:/node"], **PID)
        pid, terminal = self.in_terminal(["sh", "-c", '"$@"; echo code $?; read word; echo got $word', "sh", *words])
        self.read_until(terminal, b"code 0")
        terminal.write(b"back\n")
        self.read_until(terminal, b"got back")
        self.assertEqual(self.code_of(pid), 0)

    def test_pipes_belong_to_the_command(self):
        """Whoever is at the other end sees that it has closed its own."""
        process = self.start("exec >&- 2>&-; exec sleep 100", **PID)
        self.assertTrue(select.select([process.stdout], [], [], 10)[0])
        self.assertEqual(process.stdout.read(), "")

    def test_ignored_child_signals_do_no_harm(self):
        done = subprocess.run(self.command("sh", "-c", "exit 4", **PID), cwd=world.WORK, env=world.ENV, timeout=20,
                              preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(done.returncode, 4)

    def test_init_is_closed_to_the_container(self):
        out = self.ok("cat /proc/1/environ /proc/1/maps 2>&1; ls /proc/1/fd 2>&1; kill -KILL 1; echo alive; "
                      "grep -E 'Cap(Prm|Eff)|NoNew' /proc/1/status", **PID)
        self.assertEqual(out.count("ermission denied"), 3, out)
        self.assertIn("alive", out)
        self.assertEqual(len(re.findall(r"Cap...:\s+0{16}", out)), 2)
        self.assertRegex(out, r"NoNewPrivs:\s+1")

    def test_nothing_of_ours_is_open(self):
        for options in ({}, PID):
            self.assertEqual(self.ok("ls /proc/self/fd", **options).split(), ["0", "1", "2", "3"])
        process = self.start("sleep 100", **PID)
        init = children(process.pid)[0]
        for pid, most in ((process.pid, 3), (init, 1)):
            self.assertLessEqual(len(os.listdir(f"/proc/{pid}/fd")), most)
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            self.assertRegex(status, r"CapEff:\s+0{16}")

    def test_the_node_is_out_of_sight(self):
        self.assertNotEqual(self.sh(f"kill -0 {os.getpid()}", **PID).returncode, 0)
        self.assertNotEqual(self.sh(f"test -e /proc/{os.getpid()}", **PID).returncode, 0)

    def test_network(self):
        out = self.ok("ls /sys/class/net; grep -c : /proc/net/dev; cat /sys/class/net/lo/operstate", own="network")
        self.assertEqual(out.split()[:2], ["lo", "1"])
        self.assertNotIn("down", out)

    def test_names(self):
        before = os.uname().nodename
        out = self.ok("cat /proc/sys/kernel/hostname /etc/hostname", hostname="box.example")
        self.assertEqual(out, "box.example\nbox.example\n")
        self.assertEqual(os.uname().nodename, before)
        out = self.ok("cat /etc/resolv.conf", dns=["192.0.2.7", "2001:db8::1"])
        self.assertEqual(out, "nameserver 192.0.2.7\nnameserver 2001:db8::1\n")
        self.refused("hostname", "option-invalid", hostname="x" * 65)

    def test_limits_are_named(self):
        for own, name in (("pid", "pid"), ("ipc", "ipc"), ("network", "net"), ("uts", "uts"), ("uts", "mnt")):
            script = f'echo 0 >/proc/sys/user/max_{name}_namespaces; exec "$@"'
            words = ["unshare", "-Ur", "sh", "-c", script, "sh", *self.command("true", uid=0, own=own)]
            done = subprocess.run(words, capture_output=True, text=True, cwd=world.WORK, env=world.ENV, timeout=20)
            self.assertEqual(done.returncode, 255)
            self.assertIn(f"the kernel setting user.max_{name}_namespaces", done.stderr)

    def test_covered_kernel_directories(self):
        """Then the kernel allows no new ones in a user namespace."""
        for own, where, name in (("pid", "/proc/fs", "proc"), ("network", "/sys/firmware", "sys")):
            words = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs x {where} && exec "$@"', "sh"]
            command = self.command("true", own=own)
            done = subprocess.run([*words, *command], capture_output=True, text=True, cwd=world.WORK, env=world.ENV,
                                  timeout=20)
            self.assertEqual(done.returncode, 255, done.stderr)
            self.assertIn(f"--no-mount {name},", done.stderr)
            self.assertNotIn("\\x0a", done.stderr)
            command = self.command("true", own=own, no_mount=name)
            self.assertEqual(subprocess.run([*words, *command], cwd=world.WORK, env=world.ENV, timeout=20).returncode, 0)

    def test_message_queues_and_shared_memory(self):
        spaces = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("ipc", "pid", "net", "uts")}
        for own, kept in (("ipc", "net"), ("network", "ipc"), ("uts", "ipc")):
            kind = {"network": "net"}.get(own, own)
            out = self.ok(f"readlink /proc/self/ns/{kind} /proc/self/ns/{kept}", own=own).split()
            self.assertNotEqual(out[0], spaces[kind])
            self.assertEqual(out[1], spaces[kept])
        self.assertIn(" /dev/mqueue ", self.ok("grep mqueue /proc/self/mountinfo", own="ipc", contain="some"))

    def test_work_area(self):
        area = world.WORK / "area"
        area.mkdir(exist_ok=True)
        os.chown(area, world.UID, world.UID)
        config = world.AREA / "home.yaml"
        config.write_text("launcher: {mount_home: true}\n")
        self.ok("touch /tmp/a /var/tmp/b $HOME/c /s/t/d", contain="some", work_area=area, scratch="/s/t",
                config=config)
        found = sorted(str(path.relative_to(area)) for path in area.rglob("*") if path.is_file())
        self.assertEqual(found, ["home/c", "scratch/s/t/d", "tmp/a", "var_tmp/b"])
        self.assertEqual((area / "tmp").stat().st_mode & 0o7777, 0o1777)
        self.assertEqual((area / "home").stat().st_mode & 0o777, 0o700)
        self.ok("test -e /tmp/a && test -e /s/t/d", contain="some", work_area=area, scratch="/s/t")
        self.refused("--workdir", "mount-source-missing", contain="some", work_area="/nosuch")
        self.refused("--workdir", "mount-source-missing", contain="some", work_area="/etc/passwd")
        self.refused("--workdir", "mount-source-missing", contain="some", work_area="/etc")

    def test_what_others_put_into_a_work_area(self):
        area = world.AREA / "shared"
        own = world.WORK / "own"
        options = {"contain": "some", "work_area": area, "scratch": "/s/t"}
        for path in (area, own):
            path.mkdir()
        area.chmod(0o1777)
        os.chown(own, world.UID, world.UID)
        for planted in ("tmp", "home", "scratch", "scratch/s"):
            place = area / planted
            for plant in (lambda: place.symlink_to(own), place.touch, place.mkdir):
                with self.subTest(planted=planted):
                    place.parent.mkdir(exist_ok=True)
                    plant()
                    if planted == "scratch/s":
                        os.chown(place.parent, world.UID, world.UID)
                    self.refused("--workdir", "mount-source-missing", **options)
                    self.assertEqual(list(own.iterdir()), [])
                    self.assertEqual(own.stat().st_mode & 0o7777, 0o755)
                    for path in sorted(area.rglob("*"), reverse=True):
                        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        self.ok("touch /tmp/a /s/t/b", **options)

    def test_mount_points_in_a_work_area(self):
        area = world.WORK / "points"
        area.mkdir()
        os.chown(area, world.UID, world.UID)
        out = self.ok("cat /tmp/deep/er/x; touch /tmp/s/a", contain="some", work_area=area, scratch="/tmp/s",
                      bind=f"{world.AREA}/source:/tmp/deep/er")
        self.assertEqual(out, "x\n")
        self.assertTrue((area / "scratch/tmp/s/a").exists())

    def test_a_plan_makes_nothing(self):
        area = world.WORK / "untouched"
        area.mkdir(exist_ok=True)
        os.chown(area, world.UID, world.UID)
        done = self.sh("true", contain="some", work_area=area, own=["pid", "network"],
                       env={**world.ENV, "SLIPWAY_TEST_PLAN": "1"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"'/tmp' from '{area}/tmp'", done.stdout)
        self.assertIn("spaces  user mount pid network, with init", done.stdout)
        self.assertEqual(list(area.iterdir()), [])
