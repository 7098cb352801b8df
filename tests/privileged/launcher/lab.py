# SPDX-License-Identifier: Apache-2.0
"""Where the tests of the launcher run: images, a mount namespace of its own, and the two doors into a
container. world.py has what run() makes."""
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile
import unittest

import world
from harness import children, ended, processes, skip, unable, wait_until
from root_tree import make_root


class Prompt(unittest.TestCase):
    """The door of `slipway exec`."""
    maxDiff = None

    def command(self, *words, uid=world.UID, image=None, **options):
        command = [world.RUN]
        if uid:
            command += ["--uid", str(uid)]
        command += ["--config", str(world.CONFIG)]
        for name, value in options.items():
            values = value if isinstance(value, list) else [value]
            for item in values:
                command += ["--" + name.replace("_", "-"), str(item)]
        return [*command, str(image or world.SQSH), *words]

    def run_as(self, *words, env=None, cwd=None, timeout=30, **options):
        return subprocess.run(self.command(*words, **options), capture_output=True, text=True,
                              timeout=timeout, cwd=cwd or world.WORK, env=env if env is not None else world.ENV)

    def sh(self, script, **options):
        return self.run_as("sh", "-c", script, **options)

    def ok(self, script, **options):
        done = self.sh(script, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def refused(self, words, code, **options):
        done = self.sh("echo it runs", **options)
        self.assertEqual(done.returncode, 255, done.stdout + done.stderr)
        self.assertNotIn("it runs", done.stdout)
        self.assertIn(f"slipway: error: {code}: ", done.stderr)
        self.assertIn(words, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def with_script(self, text, **options):
        name = world.TREE / ".singularity.d/env/91-test.sh"
        name.write_text(text)
        try:
            return self.sh("env", image=world.TREE, **options)
        finally:
            name.unlink()


class Step(unittest.TestCase):
    """The door of Slurm, without Slurm: step_task plays slurmstepd and its tasks."""

    def command(self, *words, uid=world.UID, image=None, options=()):
        return [world.STEP, "--launcher", world.LAUNCH, "--config", str(world.CONFIG), "--uid", str(uid),
                "--gid", str(uid), "--groups", world.GROUPS if uid else "0", *options,
                str(image or world.SQSH), *words]

    def step(self, *words, **options):
        return subprocess.run(self.command(*words, **options), capture_output=True, text=True, timeout=60,
                              cwd=world.WORK, env=world.ENV)

    def start(self, *words, gate=None, **options):
        """A step that goes on, and the pid of its launcher, which a gate has caught."""
        process = subprocess.Popen(self.command(*words, **options), stdout=subprocess.PIPE, text=True,
                                   cwd=world.WORK, env=world.ENV)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        caught = gate and gate.next()
        launcher = int(process.stdout.readline().split()[1])
        self.assertIn(caught, (None, launcher))
        return process, launcher

    def assert_gone(self, output):
        pid = int(re.search(r"launcher (\d+)", output).group(1))
        self.assertTrue(wait_until(lambda: pid not in processes("slipway-launch")), pid)

    def linger(self, *words):
        process, launcher = self.start(*(words or ("true",)), options=["--linger", "100"])
        self.assertEqual(process.stdout.readline(), "task 0 exit 0\n")
        servers = children(launcher)
        self.assertEqual(len(servers), 1)
        return process, launcher, servers[0]

    def assert_dead(self, *pids):
        self.assertTrue(wait_until(lambda: all(ended(pid) for pid in pids)), pids)


def prepare(populate):
    make_root(world.TREE)
    populate()
    subprocess.run(["mksquashfs", world.TREE, world.SQSH, "-comp", "zstd", "-quiet", "-no-progress", "-all-root"],
                   check=True, stdout=subprocess.DEVNULL)
    for path in (world.AREA, world.TREE, world.SQSH):
        path.chmod(0o755)
    world.CONFIG.write_text("launcher: {mount_home: false, tmpfs_size: 32MiB}\n")
    for name, text in (("source", "x\n"), ("second", "second\n")):
        (world.AREA / name).mkdir()
        (world.AREA / name / "x").write_text(text)
        (world.AREA / name / "inner").mkdir()
        (world.AREA / name).chmod(0o777)
    (world.AREA / "private").mkdir(mode=0o700)
    (world.AREA / "linked").mkdir()
    (world.AREA / "linked/out").symlink_to("/opt/deep")
    world.WORK.mkdir()
    os.chown(world.WORK, world.UID, world.UID)
    # /dev/fuse for everybody, in this mount namespace only.
    device = world.AREA / "fuse"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    os.chmod(device, 0o666)
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)


def run(names, populate=lambda: None):
    """Prepares the lab and runs the tests of the caller's program; argv holds the paths of the programs that
    `names` says, in this order, and then what unittest takes; `populate` puts more into world.TREE. Never returns."""
    reason = unable()
    if reason:
        skip(reason)
    if os.environ.get("SLIPWAY_TEST_NAMESPACE") != "1":
        os.environ["SLIPWAY_TEST_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])
    last = 1 + len(names)
    for name, path in zip(names, sys.argv[1:last]):
        setattr(world, name, os.path.abspath(path))
    with tempfile.TemporaryDirectory(prefix="slipway-launcher-", dir="/var/tmp") as area:
        world.AREA = pathlib.Path(area)
        # Device nodes must work in there, whatever the file system of /var/tmp says.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "none", area], check=True)
        try:
            world.TREE, world.SQSH, world.CONFIG, world.WORK = (
                world.AREA / name for name in ("tree", "image.sqsh", "site.yaml", "work"))
            world.ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "dumb"}
            prepare(populate)
            program = unittest.main(argv=[sys.argv[0], *sys.argv[last:]], exit=False, verbosity=1)
        finally:
            subprocess.run(["umount", "-l", "/dev/fuse"])
            subprocess.run(["umount", "-l", area])
    skipped = len(program.result.skipped)
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit((1 if os.environ.get("REQUIRE_ALL") == "1" else 77) if skipped else 0)
