#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real containers, made as root and as an ordinary user: launcher_test.py RUN_IN_CONTAINER STEP_TASK
SLIPWAY_LAUNCH. Ends with 77 where it cannot run. Runs in a mount namespace of its own, so nothing on
the host changes. What attackers try is in ../escape."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import lab
import world
from harness import described, processes, wait_until
from lab import Prompt
from fakeroot import FakeRoot  # noqa: F401, found by unittest.main()
from gpu import Gpu  # noqa: F401
from namespaces import Namespaces  # noqa: F401, found by unittest.main()
from overlays import Overlays, WritableDirectories  # noqa: F401
from steps import Steps  # noqa: F401

UID = world.UID


class Images(Prompt):
    def test_kinds_of_images_and_users(self):
        for image in (world.TREE, world.SQSH):
            for uid in (UID, 0):
                with self.subTest(image=image, uid=uid):
                    out = self.ok("cat /etc/os-release; id -u; id -g", image=image, uid=uid)
                    self.assertEqual(out, f'NAME="Slipway test"\n{uid}\n{uid}\n')

    def test_compressors(self):
        for name in ("gzip", "xz", "zstd"):
            image = world.AREA / f"{name}.sqsh"
            subprocess.run(["mksquashfs", world.TREE, image, "-comp", name, "-quiet", "-no-progress"],
                           check=True, stdout=subprocess.DEVNULL)
            self.assertIn("test", self.ok("cat /etc/os-release", image=image))

    def test_bad_images(self):
        self.refused("No such file", "image-not-found", image=world.AREA / "none.sif")
        garbage = world.AREA / "garbage.sif"
        garbage.write_bytes(os.urandom(20000))
        self.refused("garbage.sif", "image-format", image=garbage)
        secret = world.AREA / "secret.sqsh"
        shutil.copy(world.SQSH, secret)
        secret.chmod(0o600)
        self.refused("Permission denied", "image-unreadable", image=secret)
        cut = world.AREA / "cut.sqsh"
        cut.write_bytes(world.SQSH.read_bytes()[:5000])
        done = self.sh("true", image=cut)
        self.assertEqual(done.returncode, 255)
        self.assertRegex(done.stderr, "image-(corrupt|format|unreadable)")

    def test_other_architecture(self):
        samples = os.environ.get("SLIPWAY_SAMPLES", "")
        sample = pathlib.Path(samples) / "busybox_ppc64le.sif"
        if not sample.exists():
            self.skipTest("no sample images")
        public = world.AREA / "ppc64le.sif"
        shutil.copy(sample, public)
        self.refused("ppc64le", "image-architecture", image=public)


class Privileges(Prompt):
    def test_nothing_is_left(self):
        for uid in (UID, 0):
            status = self.ok("cat /proc/self/status", uid=uid)
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertRegex(status, rf"{name}:\s+0000000000000000")
            self.assertRegex(status, r"NoNewPrivs:\s+1")

    def test_mount_flags(self):
        for image in (world.TREE, world.SQSH):
            for line in self.ok("cat /proc/self/mountinfo", image=image).splitlines():
                fields = line.split()
                point, flags, optional = fields[4], fields[5].split(","), fields[6:fields.index("-")]
                self.assertIn("nosuid", flags, line)
                if not point.startswith("/dev"):
                    self.assertIn("nodev", flags, line)
                if point == "/":
                    self.assertIn("ro", flags, line)
                self.assertFalse([tag for tag in optional if tag.startswith("shared:")], line)

    def test_image_is_read_only(self):
        for image in (world.TREE, world.SQSH):
            for uid in (UID, 0):
                done = self.sh("touch /new || touch /etc/os-release || rm /opt/marker", image=image,
                               uid=uid)
                self.assertNotEqual(done.returncode, 0)
        self.assertTrue((world.TREE / "opt/marker").exists())

    def test_host_directories(self):
        (world.WORK / "file").write_text("host\n")
        out = self.ok("cat file; pwd; ls /proc/1/status /sys/kernel /dev/null >/dev/null && echo all",
                      cwd=world.WORK)
        self.assertEqual(out, f"host\n{world.WORK}\nall\n")

    def test_binds(self):
        source = world.AREA / "source"
        out = self.ok("cat /mnt-a/x /opt/deep/x; touch /opt/deep/y 2>&1 || echo ro; touch /mnt-a/new",
                      bind=[f"{source}:/mnt-a", f"{source}:/opt/deep:ro"])
        self.assertTrue(out.startswith("x\nx\n"))
        self.assertIn("ro\n", out)
        self.assertTrue((source / "new").exists())
        (source / "new").unlink()
        self.assertEqual(self.ok("cat /a/b/c/file", mounts=f"{source}/x:/a/b/c/file"), "x\n")
        # The image's own entries are still there beside a new mount point.
        self.assertIn("from the image", self.ok("cat /opt/marker /opt/new/x",
                                                bind=f"{source}:/opt/new"))
        self.assertEqual(self.ok("cat /many/7 /many/extra/x", bind=f"{source}:/many/extra"), "7x\n")
        self.assertEqual(self.ok("ls /many | wc -l", bind=f"{source}:/many/extra").strip(), "61")

    def test_order(self):
        one, two = world.AREA / "source", world.AREA / "second"
        self.assertEqual(self.ok("cat /m/x", bind=[f"{one}:/m", f"{two}:/m"]), "second\n")
        self.assertEqual(self.ok("cat /m/inner/x", bind=[f"{one}:/m", f"{two}:/m/inner"]), "second\n")

    def test_refusals(self):
        source = world.AREA / "source"
        self.refused("/nowhere", "mount-source-missing", bind="/nowhere:/m")
        self.refused("no permission", "mount-source-missing", bind=f"{world.AREA}/private:/m")
        self.refused("'..'", "mount-target-invalid", bind=f"{source}:/m/../../etc")
        self.refused("absolute", "mount-target-invalid", bind=f"{source}:m")
        self.refused("system's own", "mount-target-invalid", bind=f"{source}:/opt/proc")
        self.refused("system's own", "mount-target-invalid", bind=f"{source}:/proc")
        self.refused("file", "mount-target-invalid", bind=f"{source}:/opt/marker")
        self.refused("make it on the host", "mount-target-invalid",
                     bind=[f"{source}:/m", f"{source}:/m/missing"])

    def test_mount_points_without_an_overlay(self):
        # The kernel refuses a third overlay on two others; the mount point must be had all the same.
        lower, one, two = (world.AREA / name for name in ("empty", "overlay1", "overlay2"))
        for directory in (lower, one, two):
            directory.mkdir()
        for below, above in ((world.TREE, one), (one, two)):
            subprocess.run(["mount", "-t", "overlay", "none", "-o", f"lowerdir={below}:{lower}", above],
                           check=True)
        out = self.ok("cat /many/7 /many/extra/x; ls /many | wc -l; grep -c overlay /proc/self/mounts",
                      image=two, bind=f"{world.AREA}/source:/many/extra")
        self.assertTrue(out.startswith("7x\n61\n"), out)
        plain = self.ok("cat /many/extra/x; grep -c '/many overlay' /proc/self/mounts",
                        bind=f"{world.AREA}/source:/many/extra")
        self.assertEqual(plain, "x\n1\n")

    def test_localtime_is_replaced(self):
        if not os.path.exists("/etc/localtime"):
            self.skipTest("the host has no /etc/localtime")
        self.assertIn("regular", self.ok("stat -c %F /etc/localtime"))

    def test_identity_files(self):
        out = self.ok("cat /etc/passwd /etc/group; touch /etc/passwd 2>&1 || echo ro")
        self.assertIn(f":{UID}:{UID}:", out)
        self.assertIn("ro", out)

    def test_contain(self):
        out = self.ok("ls -1 /dev; ls -A /tmp | wc -l; stat -f -c %T /tmp; echo x > /dev/null; "
                      "head -c 4 /dev/zero | wc -c; pwd", contain=1)
        lines = out.split()
        for name in ("null", "zero", "random", "urandom", "shm", "pts", "ptmx", "fd", "stdin"):
            self.assertIn(name, lines)
        self.assertNotIn("fuse", lines)
        self.assertIn("tmpfs", lines)
        self.assertIn("4", lines)

    def test_writable(self):
        for image in (world.TREE, world.SQSH):
            out = self.ok("touch /new && mkdir /d && rm -f /opt/marker; ls /new /opt; "
                          "dd if=/dev/zero of=/big bs=1M count=100 2>/dev/null || echo full",
                          image=image, writable=1)
            self.assertIn("/new", out)
            # In a directory that belongs to somebody else, file permissions are what they are.
            self.assertEqual("marker" in out, image == world.TREE)
            self.assertIn("full", out)  # launcher.tmpfs_size
        self.assertTrue((world.TREE / "opt/marker").exists())

    def test_files_of_a_writable_root_can_be_changed(self):
        change = ("echo more >> /etc/passwd; echo more > /etc/group.new && mv /etc/group.new /etc/group; "
                  "rm /etc/hosts && echo new > /etc/hosts; ln -sf /opt/marker /etc/localtime; "
                  "cat /etc/group /etc/hosts /etc/localtime; tail -n 1 /etc/passwd")
        wanted = "more\nnew\nfrom the image\nmore\n"
        self.assertEqual(self.ok(change, writable=1), wanted)
        self.assertEqual(self.ok(change, writable=1, uid=0, image=world.TREE), wanted)
        # Another user's directory image: they are mounted, as in a root that is read-only.
        out = self.ok("cat /etc/passwd; echo more >> /etc/passwd || echo refused", writable=1, image=world.TREE)
        self.assertIn(f":{UID}:{UID}:", out)
        self.assertIn("refused", out)
        self.assertEqual((world.TREE / "etc/passwd").read_text(), "root:x:0:0:root:/root:/bin/sh\n")

    def test_size_of_a_writable_root(self):
        config = world.AREA / "sizes.yaml"
        config.write_text("launcher: {mount_home: false}\n")
        done = subprocess.run([world.RUN, "--uid", str(UID), "--config", config, "--writable", "1", str(world.SQSH),
                               "stat", "-f", "-c", "%b %S", "/"], capture_output=True, text=True, cwd=world.WORK,
                              env=world.ENV)
        blocks, size = map(int, done.stdout.split())
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.assertAlmostEqual(blocks * size / memory, 0.5, places=1)

    def linked_image(self, name):
        image = world.AREA / name
        if not image.exists():
            tree = world.AREA / f"{name}.tree"
            subprocess.run(["cp", "-a", world.TREE, tree], check=True)
            (tree / "tmp").rmdir()
            (tree / "tmp").symlink_to("var/tmp")
            (tree / "nix").mkdir()
            for file in ("passwd", "group"):
                (tree / f"etc/{file}").rename(tree / f"nix/{file}")
                (tree / f"etc/{file}").symlink_to(f"/nix/{file}")
            (tree / "nix/passwd").write_text("svc:x:7:7::/:/bin/svc\n")
            scripts = tree / ".singularity.d/env"
            (tree / "nix/linked.sh").write_text("export LINKED=yes\n")
            (scripts / "91-linked.sh").symlink_to("../../../../../nix/linked.sh")
            (scripts / "92-loop.sh").symlink_to("92-loop.sh")
            subprocess.run(["mksquashfs", tree, image, "-comp", "zstd", "-quiet", "-no-progress",
                            "-all-root"], check=True, stdout=subprocess.DEVNULL)
        return image

    def test_image_with_symlinks_between_default_places(self):
        image = self.linked_image("linked.sqsh")
        place = tempfile.mkdtemp(prefix="slipway-", dir="/tmp")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o755)
        (pathlib.Path(place) / "file").write_text("host's /tmp\n")
        for options in ({}, {"writable": 1}):
            self.assertEqual(self.ok("cat file; pwd", image=image, cwd=place, no_mount="cwd", **options),
                             f"host's /tmp\n{place}\n")

    def test_image_with_symlinked_files(self):
        image = self.linked_image("linked.sqsh")
        for options in ({}, {"writable": 1}):
            done = self.sh("cat /etc/passwd; echo $LINKED", image=image, **options)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout.startswith("svc:x:7:7::/:/bin/svc\n"), done.stdout)
            self.assertIn(f":{UID}:{UID}:", done.stdout)
            self.assertTrue(done.stdout.endswith("yes\n"), done.stdout)
            self.assertIn("92-loop.sh", done.stderr)

    def test_working_directory(self):
        self.assertEqual(self.ok("pwd", workdir="/opt/deep"), "/opt/deep\n")
        self.refused("/nosuch", "workdir-missing", workdir="/nosuch")
        hidden = self.sh("pwd", cwd="/", no_mount="cwd")
        self.assertEqual(hidden.stdout, "/\n")

    def test_home(self):
        self.assertEqual(self.ok("echo $HOME; cat $HOME/x", home=f"{world.AREA}/source:/home/me"),
                         "/home/me\nx\n")

    def test_required_files(self):
        script = world.AREA / "source/x"
        self.assertEqual(self.ok(f"cat {script}", no_mount="tmp", required=script), "x\n")
        self.refused("/nowhere/script", "mount-source-missing", required="/nowhere/script")


class Environment(Prompt):
    def test_native_scripts(self):
        env = dict(world.ENV, IMAGE="host", KEEP="kept", SINGULARITYENV_MORE="m", LD_LIBRARY_PATH="/host")
        out = self.ok("env", env=env)
        self.assertIn("IMAGE=yes\n", out)
        self.assertIn("KEEP=kept\n", out)
        self.assertIn("MORE=m\n", out)
        self.assertNotIn("LD_LIBRARY_PATH=/host", out)
        self.assertRegex(out, r"(?m)^PATH=/usr/bin:/opt/bin:")

    def test_shell_scripts(self):
        done = self.with_script('export WHO=$(id -u)\nexport BAD="$USER_OF_HOST"\n'
                                'export CAPS=$(grep CapEff /proc/self/status | grep -o 0000000000000000)\n',
                                env=dict(world.ENV, USER_OF_HOST="x"))
        self.assertIn(f"WHO={UID}\n", done.stdout)
        self.assertIn("BAD=\n", done.stdout)
        self.assertIn("CAPS=0000000000000000\n", done.stdout)
        self.assertIn("IMAGE=yes\n", done.stdout)

    def test_uid_in_values(self):
        self.assertIn(f"WHO={UID}\n", self.ok("env", env=dict(world.ENV, SLIPWAYENV_WHO="$UID")))
        done = self.with_script("X=$(id)\nexport FROM=$UID\n", env=dict(world.ENV, SLIPWAYENV_WHO="$UID"))
        self.assertIn(f"WHO={UID}\n", done.stdout)
        self.assertIn(f"FROM={UID}\n", done.stdout)

    def test_failing_scripts(self):
        done = self.with_script("exit 3\n")
        self.assertEqual(done.returncode, 255)
        self.assertIn("ended early", done.stderr)

    def test_scripts_without_end(self):
        begun = time.time()
        done = self.with_script("echo hi\nsleep 1000\n", timeout=30)
        self.assertEqual(done.returncode, 255)
        self.assertIn("timed-out", done.stderr)
        self.assertLess(time.time() - begun, 20)


class Commands(Prompt):
    def test_exit_codes(self):
        self.assertEqual(self.sh("exit 7").returncode, 7)
        self.assertEqual(self.run_as("true").returncode, 0)
        self.assertEqual(-self.sh("kill -9 $$").returncode, signal.SIGKILL)

    def test_missing_commands(self):
        for word, code in (("nosuchcmd", "command-not-found"), ("/nosuch", "command-not-found"),
                           ("/etc/passwd", "command-not-found")):
            done = self.run_as(word)
            self.assertEqual(done.returncode, 255)
            self.assertIn(f"slipway: error: {code}: ", done.stderr)

    def test_process_is_the_command_itself(self):
        process = subprocess.Popen(self.command("sh", "-c", "echo $$; exec sleep 100"), stdout=subprocess.PIPE,
                                   text=True, cwd=world.WORK, env=world.ENV)
        try:
            self.assertEqual(int(process.stdout.readline()), process.pid)
            process.terminate()
            self.assertEqual(process.wait(10), -signal.SIGTERM)
        finally:
            process.kill()
            process.stdout.close()


class Endings(Prompt):
    def start(self, script):
        mark = f"mark-{os.getpid()}-{time.time_ns()}"
        image = world.AREA / f"{mark}.sqsh"
        os.link(world.SQSH, image)
        process = subprocess.Popen(self.command("sh", "-c", f"echo up; {script}", image=image), text=True,
                                   stdout=subprocess.PIPE, cwd=world.WORK, env=world.ENV)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "up\n")
        servers = processes(mark)
        servers = [pid for pid in servers if pid != process.pid]
        self.assertEqual(len(servers), 1, servers)
        return process, servers[0], mark

    def test_server_ends_with_the_command(self):
        process, _, mark = self.start("sleep 0.3")
        process.wait(10)
        self.assertTrue(wait_until(lambda: not processes(mark)), described(mark))

    def test_server_ends_when_the_command_is_killed(self):
        process, _, mark = self.start("exec sleep 100")
        process.kill()
        process.wait(10)
        self.assertTrue(wait_until(lambda: not processes(mark)), described(mark))

    def test_server_stays_for_processes_in_the_background(self):
        process, server, mark = self.start("(sleep 1; cat /opt/marker > bg-out) >/dev/null 2>&1 &")
        process.wait(10)
        self.assertIn(server, processes(mark))
        self.assertTrue(wait_until(lambda: (world.WORK / "bg-out").exists() and
                                   (world.WORK / "bg-out").read_text() == "from the image\n"))
        self.assertTrue(wait_until(lambda: not processes(mark)), described(mark))

    def test_a_killed_server_gives_errors_and_no_hang(self):
        process, server, mark = self.start("sleep 1; cat /opt/marker; echo $?; cat /many/5; exec sleep 100")
        os.kill(server, signal.SIGKILL)
        line = process.stdout.readline()
        self.assertTrue(line == "" or line.strip() != "0", line)
        process.kill()
        process.wait(10)
        self.assertTrue(wait_until(lambda: not processes(mark)), described(mark))

    def test_terminal_signals_do_not_reach_the_server(self):
        _, server, _ = self.start("exec sleep 100")
        fields = (pathlib.Path("/proc") / str(server) / "stat").read_text().rsplit(")", 1)[1].split()
        self.assertNotEqual(int(fields[3]), os.getsid(0))  # session
        self.assertEqual(int(fields[3]), server)

    def test_server_is_locked_up(self):
        _, server, _ = self.start("exec sleep 100")
        status = (pathlib.Path("/proc") / str(server) / "status").read_text()
        self.assertRegex(status, r"CapEff:\s+0000000000000000")
        self.assertRegex(status, r"NoNewPrivs:\s+1")
        self.assertRegex(status, r"Seccomp:\s+2")


class Obstacles(Prompt):
    def inside(self, prepare, script="true", uid=UID):
        """The command in a mount namespace prepared by a shell text."""
        command = f'{prepare}; exec "$@"'
        return subprocess.run(["unshare", "-m", "sh", "-c", command, "sh", world.RUN, "--uid", str(uid),
                               "--config", str(world.CONFIG), str(world.SQSH), "sh", "-c", script],
                              capture_output=True, text=True, cwd=world.WORK, env=world.ENV)

    def test_fuse_is_forbidden(self):
        done = self.inside("chmod 600 /dev/fuse")
        os.chmod("/dev/fuse", 0o666)  # of this test's own mount
        self.assertEqual(done.returncode, 255)
        self.assertIn("slipway: error: fuse-unavailable: cannot open /dev/fuse: Permission denied",
                      done.stderr)
        self.assertIn("hint:", done.stderr)

    def test_fuse_is_missing(self):
        done = self.inside("mount -t tmpfs none /dev")
        self.assertEqual(done.returncode, 255)
        self.assertIn("fuse-unavailable", done.stderr)

    def test_user_namespaces_are_forbidden(self):
        # The limit of an outer namespace, which its own root may set: nobody else is hit.
        done = subprocess.run(["unshare", "-U", "--map-root-user", "sh", "-c",
                               'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh", world.RUN,
                               "--config", str(world.CONFIG), str(world.SQSH), "true"],
                              capture_output=True, text=True, cwd=world.WORK, env=world.ENV)
        self.assertEqual(done.returncode, 255)
        self.assertIn("userns-unavailable", done.stderr)
        self.assertIn("user.max_user_namespaces", done.stderr)


if __name__ == "__main__":
    lab.run(["RUN", "STEP", "LAUNCH"])
