# SPDX-License-Identifier: Apache-2.0
"""Up by files that give rights, by devices and by the kernel's calls."""
import subprocess

import world
from attacks import as_user, attack
from lab import Prompt, Step

PLACES = ("/opt/bad", "/mnt/bad")


class Privileges(Prompt):
    def attacks(self, *words, **options):
        done = self.run_as("attack", *words, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def in_all_places(self, script):
        """By a file of a SquashFS image, of a directory image and of a bind."""
        answers = []
        for image in (world.SQSH, world.TREE):
            for place in PLACES:
                answers.append(self.ok(script.format(place), image=image, bind=f"{world.AREA}/bad:/mnt/bad"))
        return answers

    def test_setuid_files(self):
        self.assertEqual(self.in_all_places("{}/setuid -u"), [f"{world.UID}\n"] * 4)
        self.assertEqual(as_user(world.AREA / "bad/setuid", "-u").stdout, "0\n")  # control

    def test_setgid_files(self):
        self.assertEqual(self.in_all_places("{}/setgid -g"), [f"{world.UID}\n"] * 4)
        self.assertEqual(as_user(world.AREA / "bad/setgid", "-g").stdout, "0\n")  # control

    def test_files_with_capabilities(self):
        self.assertEqual(self.in_all_places("{}/capable caps , raw"),
                         ["caps 0000000000000000 done\nraw EPERM\n"] * 4)
        self.assertEqual(as_user(world.AREA / "bad/capable", "caps", ",", "raw").stdout,
                         "caps 0000000000002000 done\nraw done\n")  # control

    def test_setuid_files_in_a_namespace_of_its_own(self):
        out = self.ok("unshare -Ur sh -c '/opt/bad/setuid -u; cat /proc/self/uid_map'")
        self.assertEqual(out.split(), ["0", "0", str(world.UID), "1"])  # root of nothing but the user

    def test_becoming_root(self):
        self.assertEqual(self.attacks("root", ",", "setgroups", ",", "caps"),
                         ["root EINVAL", "setgroups EPERM", "caps 0000000000000000 done"])
        self.assertEqual(attack("root", ",", "setgroups", uid=0), ["root done", "setgroups done"])  # control

    def test_groups_cannot_be_shed_in_a_namespace_of_its_own(self):
        self.assertEqual(self.ok("cat /proc/self/setgroups"), "deny\n")
        self.assertEqual(self.attacks("nested", "setgroups"), ["nested setgroups EPERM"])

    def test_calls_of_the_administrator(self):
        for uid in (world.UID, 0):
            self.assertEqual(self.attacks("hostname", ",", "raw", uid=uid), ["hostname EPERM", "raw EPERM"])
        self.assertEqual(self.attacks("nested", "hostname", ",", "nested", "raw"),
                         ["nested hostname EPERM", "nested raw EPERM"])
        self.assertEqual(attack("hostname", ",", "raw", uid=0), ["hostname done", "raw done"])  # control

    def test_namespaces_of_the_host(self):
        self.assertEqual(self.attacks("enter", "user", "1", ",", "enter", "mnt", "1", ",", "enter", "pid", "1"),
                         ["enter EACCES"] * 3)
        self.assertEqual(self.attacks("nested", "enter", "mnt", "1"), ["nested enter EACCES"])
        with_own = subprocess.Popen(["sleep", "60"])
        try:
            self.assertEqual(attack("enter", "mnt", with_own.pid, uid=0), ["enter done"])  # control
        finally:
            with_own.kill()
            with_own.wait()

    def test_no_descriptor_is_inherited(self):
        out = self.ok("ls /proc/self/fd")
        self.assertLessEqual(set(out.split()), {"0", "1", "2", "3"})  # 3: ls looking


class StepPrivileges(Step):
    def test_becoming_root(self):
        done = self.step("attack", "root", ",", "setgroups", ",", "caps", ",", "nested", "setgroups", ",", "mount",
                         "/opt", ",", "nested", "remount", "/")
        self.assertEqual(done.stdout.splitlines()[1:-1],
                         ["root EINVAL", "setgroups EPERM", "caps 0000000000000000 done", "nested setgroups EPERM",
                          "mount EPERM", "nested remount EPERM"])

    def test_files_that_give_rights(self):
        done = self.step("sh", "-c", "/mnt/bad/setuid -u; /mnt/bad/setgid -g; /mnt/bad/capable caps , raw; "
                         "/opt/bad/setuid -u", options=["--bind", f"{world.AREA}/bad:/mnt/bad"])
        self.assertEqual(done.stdout.splitlines()[1:-1],
                         [str(world.UID), str(world.UID), "caps 0000000000000000 done", "raw EPERM", str(world.UID)])


class Devices(Prompt):
    attacks = Privileges.attacks

    def test_devices_of_images_and_binds(self):
        for image in (world.SQSH, world.TREE):
            self.assertEqual(self.attacks("read", "/opt/bad/zero", ",", "write", "/opt/bad/zero", ",", "read",
                                          "/mnt/zero", image=image, bind=f"{world.AREA}/bad:/mnt"),
                             ["read EACCES", "write EACCES", "read EACCES"])
        self.assertEqual(attack("read", world.AREA / "bad/zero"), ["read done"])  # control

    def test_making_devices(self):
        for options in ({}, {"writable": 1}, {"writable": 1, "uid": 0}):
            self.assertEqual(self.attacks("mknod", "/tmp/memory", ",", "mknod", "/dev/shm/memory", **options),
                             ["mknod EPERM"] * 2)
        self.assertEqual(self.attacks("nested", "mknod", "/tmp/memory"), ["nested mknod EPERM"])
        self.assertEqual(attack("mknod", world.AREA / "memory", uid=0), ["mknod done"])  # control

    def test_a_device_in_a_writable_layer(self):
        # A copy of the image's own node, where the layer's file system lets it be made at all.
        out = self.ok("mv /opt/bad/zero /opt/zero 2>/dev/null; attack read /opt/zero , read /opt/bad/zero",
                      writable=1)
        self.assertNotIn("done", out)

    def test_devices_of_the_host_are_what_the_user_may(self):
        self.assertEqual(self.attacks("write", "/dev/kmsg", ",", "read", "/dev/mem", ",", "write", "/dev/null"),
                         attack("write", "/dev/kmsg", ",", "read", "/dev/mem", ",", "write", "/dev/null"))
