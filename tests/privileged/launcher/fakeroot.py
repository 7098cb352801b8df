# SPDX-License-Identifier: Apache-2.0
"""--fakeroot: root inside, the caller outside; with the ids of /etc/subuid and without."""
import os
import shutil
import subprocess

import world
from lab import Prompt

FIRST = 300000
FAKE = {"fakeroot": 1}
TOOLS = "/bin/busybox:/opt/busybox"


def mount_over(path, text):
    """In the tests' own mount namespace."""
    copy = world.AREA / path.replace("/", "_")
    copy.write_text(text)
    subprocess.run(["mount", "--bind", copy, path], check=True)


class FakeRoot(Prompt):
    @classmethod
    def setUpClass(cls):
        line = f"slipwaytest:x:{world.UID}:{world.UID}::{world.WORK}:/bin/sh\n"
        with open("/etc/passwd") as file:
            mount_over("/etc/passwd", file.read() + line)
        cls.shared = world.AREA / "fakeroot"
        cls.shared.mkdir()
        cls.shared.chmod(0o777)

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["umount", "/etc/passwd"], check=True)

    def ids(self, text):
        """What the administrator gives; the files are made where they are missing."""
        for path in ("/etc/subuid", "/etc/subgid"):
            if not os.path.exists(path):
                open(path, "w").close()
            mount_over(path, text)
            self.addCleanup(subprocess.run, ["umount", path], check=True)

    def with_ranges(self):
        if not shutil.which("newuidmap"):
            self.skipTest("newuidmap is not installed")
        self.ids(f"somebody:1000000:65536\n{world.UID}:{FIRST}:65536\n")

    def test_root_inside_the_caller_outside(self):
        self.ids("")
        out = self.ok("id -u; id -g; echo $HOME; cat /proc/self/uid_map; touch /m/made; "
                      "grep -E 'Cap(Prm|Eff)|NoNew' /proc/self/status", bind=f"{self.shared}:/m", **FAKE).splitlines()
        self.assertEqual(out[:3], ["0", "0", "/root"])
        self.assertEqual(out[3].split(), ["0", str(world.UID), "1"])
        self.assertNotIn("0000000000000000", "".join(out[4:6]))
        self.assertRegex(out[6], r"NoNewPrivs:\s+1")
        self.assertEqual((self.shared / "made").stat().st_uid, world.UID)

    def test_ranges(self):
        self.with_ranges()
        out = self.ok("cat /proc/self/uid_map; touch /m/other; /opt/busybox chown 33:44 /m/other; "
                      "/opt/busybox stat -c '%u %g' /m/other", bind=[f"{self.shared}:/m", TOOLS], **FAKE).splitlines()
        self.assertEqual([line.split() for line in out[:2]],
                         [["0", str(world.UID), "1"], ["1", str(FIRST), "65536"]])
        self.assertEqual(out[2], "33 44")
        facts = (self.shared / "other").stat()
        self.assertEqual((facts.st_uid, facts.st_gid), (FIRST + 32, FIRST + 43))
        self.assertEqual(self.ok("touch /etc/made; /opt/busybox chown 5 /etc/made; /opt/busybox stat -c %u /etc/made",
                                 writable=1, bind=TOOLS, **FAKE), "5\n")

    def test_a_single_user_pretends(self):
        self.ids("")
        out = self.ok("b=/opt/busybox; touch /etc/made; $b chown 33:44 /etc/made && $b stat -c '%u %g' /etc/made; "
                      "$b mknod /etc/device c 1 3 && ls /etc/device 2>&1; $b mkfifo /etc/fifo && ls /etc/fifo",
                      writable=1, bind=TOOLS, **FAKE).splitlines()
        self.assertEqual(out[0], "0 0")
        self.assertIn("No such file", out[1])
        self.assertEqual(out[2], "/etc/fifo")
        # Not without the option.
        self.assertNotEqual(self.sh("touch /etc/x; /opt/busybox chown 33 /etc/x", writable=1, bind=TOOLS).returncode, 0)

    def test_lines_that_the_programs_refuse(self):
        if not shutil.which("newuidmap"):
            self.skipTest("newuidmap is not installed")
        self.ids(f"{world.UID}:4294967290:100\n")
        done = self.sh("echo it runs", **FAKE)
        self.assertEqual(done.returncode, 255)
        self.assertNotIn("it runs", done.stdout)
        self.assertIn("slipway: error: userns-unavailable: ", done.stderr)
        for text in ("\0\0\0", f"{world.UID}:x:y\n", f"{world.UID}:1\n", f"{world.UID}:5:0\n", "a:" * 5000 + "\n"):
            with self.subTest(text=text[:20]):
                self.ids(text)
                self.assertEqual(self.ok("cat /proc/self/uid_map", **FAKE).split(), ["0", str(world.UID), "1"])

    def test_home(self):
        self.ids("")
        config = world.AREA / "home.yaml"
        config.write_text("launcher: {mount_home: true}\n")
        (world.WORK / "mine").write_text("mine\n")
        self.assertEqual(self.ok("cat /root/mine; grep -o '^root:.*:/root:' /etc/passwd", config=config, **FAKE).split()[0],
                         "mine")

    def test_nothing_outside_is_easier(self):
        self.ids("")
        secret = self.shared / "secret"
        secret.write_text("secret\n")
        secret.chmod(0o600)
        os.mknod(self.shared / "disk", 0o666 | 0o060000, os.makedev(7, 0))
        for command in ("cat /m/secret", "cat /m/disk", "$b chmod 777 /m/secret", "$b mount -t ext4 /m/disk /mnt",
                        "echo x > /proc/sys/kernel/core_pattern", "$b hostname changed", f"kill -KILL {os.getpid()}"):
            with self.subTest(command=command):
                self.assertNotEqual(self.sh("b=/opt/busybox; " + command, bind=[f"{self.shared}:/m", TOOLS], **FAKE).returncode, 0)
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)

    def test_init_and_server_stay_closed(self):
        self.ids("")
        out = self.ok("cat /proc/1/environ /proc/1/maps 2>&1; ls /proc/1/fd 2>&1; echo $$", own="pid", **FAKE)
        self.assertEqual(out.count("ermission denied"), 3, out)
        # All that is in sight of a container without processes of its own, the image's server among it.
        done = self.sh("for p in /proc/[0-9]*; do grep -q slipway $p/comm 2>/dev/null && head -c 1 $p/mem; done; true", **FAKE)
        self.assertEqual(done.stdout, "")

    def test_plan(self):
        done = self.sh("true", env={**world.ENV, "SLIPWAY_TEST_PLAN": "1"}, **FAKE)
        self.assertIn("home    '/root'", done.stdout)

