# SPDX-License-Identifier: Apache-2.0
"""Out by mounts: targets and sources that lead elsewhere, and changing the mounts from inside."""
import os
import pathlib

import world
from attacks import Exchange, as_user, attack
from harness import wait_until
from lab import Prompt, Step

ROUNDS = 25


def host_mounts():
    return pathlib.Path("/proc/self/mountinfo").read_text()


class Targets(Prompt):
    def setUp(self):
        before = host_mounts()
        self.addCleanup(lambda: self.assertEqual(before, host_mounts()))

    def source(self):
        return world.AREA / "source"

    def test_symlinked_target_stays_inside(self):
        for name in ("up", "far"):
            self.assertEqual(self.ok(f"cat /etc/{name}/x", bind=f"{self.source()}:/opt/{name}/{name}"), "x\n")
            self.assertFalse(os.path.exists(f"/etc/{name}"))
        # Control: who follows that link outside is in the host's /etc.
        self.assertEqual((world.TREE / "opt/far").resolve(), pathlib.Path("/etc"))

    def test_symlinked_target_in_a_directory_of_the_host(self):
        # Resolved in the container, where the bind is.
        link = world.AREA / "linked"
        self.assertEqual(self.ok("cat /opt/deep/x", bind=[f"{link}:/m", f"{self.source()}:/m/out"]), "x\n")
        self.assertFalse(os.path.exists("/opt/deep"))

    def test_target_with_dots(self):
        for target in ("/m/../../etc", "/../etc", "/m/..", "/opt/./../etc"):
            with self.subTest(target=target):
                self.refused("'..'", "mount-target-invalid", bind=f"{self.source()}:{target}")

    def test_target_in_the_systems_own(self):
        for target in ("/proc", "/proc/self/cwd", "/proc/self/fd/0", "/proc/1/root/etc", "/proc/self/root/etc",
                       "/sys", "/dev", "/opt/proc", "/opt/proc/self/cwd", "/opt/self", "/opt/self/inside"):
            with self.subTest(target=target):
                self.refused("system's own", "mount-target-invalid", bind=f"{self.source()}:{target}")

    def test_target_is_the_root(self):
        self.refused("", "mount-target-invalid", bind=f"{self.source()}:/")

    def test_target_exchanged_for_a_symlink_meanwhile(self):
        place = world.AREA / "racing"
        place.mkdir()
        (place / "a").mkdir()
        (place / "b").symlink_to("../" * 20 + "etc")
        outcomes = set()
        with Exchange(place / "a", place / "b"):
            for _ in range(ROUNDS):
                done = self.sh("cat /m/a/x /m/b/x /etc/x 2>/dev/null | head -n 1",
                               bind=[f"{place}:/m", f"{self.source()}:/m/a"])
                outcomes.add((done.returncode, done.stdout))
        self.assertLessEqual(outcomes, {(0, "x\n"), (0, ""), (255, "")})
        self.assertFalse(os.path.exists("/etc/x"))


class Sources(Prompt):
    SECRET = "of root alone"

    def setUp(self):
        self.secret = world.AREA / "private/secret"
        self.secret.write_text(self.SECRET)
        self.secret.chmod(0o600)
        # Control: it is there, and this user has no right to it.
        self.assertEqual(attack("read", self.secret), ["read EACCES"])

    def test_source_of_others(self):
        for source in (self.secret, world.AREA / "private", "/proc/1/root", "/proc/1/cwd", "/proc/1/fd/0"):
            with self.subTest(source=source):
                self.refused("ermission", "mount-source-missing", bind=f"{source}:/m")

    def test_source_is_a_symlink_to_what_is_of_others(self):
        link = world.AREA / "link-to-secret"
        link.symlink_to(self.secret)
        self.refused("Permission denied", "mount-source-missing", bind=f"{link}:/m")

    def test_source_exchanged_meanwhile(self):
        place = world.AREA / "exchanged"
        place.mkdir()
        (place / "a").mkdir()
        (place / "a/secret").write_text("mine\n")
        (place / "b").symlink_to(world.AREA / "private")
        outcomes = set()
        with Exchange(place / "a", place / "b"):
            for _ in range(ROUNDS):
                outcomes.add(self.sh("cat /m/secret", bind=f"{place}/a:/m").stdout)
            # Control: who has the right reaches the secret by this name.
            seen = lambda: (place / "a/secret").read_text()
            for text in (self.SECRET, "mine\n"):
                self.assertTrue(wait_until(lambda: seen() == text, 20, 0))
        self.assertLessEqual(outcomes, {"mine\n", ""})

    def test_image_exchanged_meanwhile(self):
        place = world.AREA / "images"
        place.mkdir()
        os.link(world.SQSH, place / "a")
        (place / "b").write_bytes(world.SQSH.read_bytes())
        (place / "b").chmod(0o600)
        outcomes = set()
        with Exchange(place / "a", place / "b"):
            for _ in range(ROUNDS):
                done = self.sh("echo it runs", image=place / "a")
                outcomes.add((done.returncode, done.stdout))
                self.assertTrue(done.returncode == 0 or "image-unreadable" in done.stderr, done.stderr)
        self.assertLessEqual(outcomes, {(0, "it runs\n"), (255, "")})

    def test_a_bind_of_the_whole_host_gives_no_rights(self):
        bad = f"/host{world.AREA}/bad"
        out = self.ok(f"{bad}/setuid -u; {bad}/setgid -g; attack read {bad}/zero , read /host{self.secret}",
                      bind="/:/host")
        self.assertEqual(out, f"{world.UID}\n{world.UID}\nread EACCES\nread EACCES\n")

    def test_many_binds(self):
        spec = lambda count: ",".join(f"{world.AREA}/source:/d{i}" for i in range(count))
        self.assertEqual(self.ok("cat /d255/x; ls -d /d[0-9]* | wc -l", mounts=spec(256)), "x\n256\n")
        self.refused("256", "limit-exceeded", mounts=spec(257))
        many = [spec(256).replace(":/d", f":/e{i}d") for i in range(4)]
        self.assertEqual(self.ok("cat /e3d255/x; ls -d /e* | wc -l", mounts=many), "x\n1025\n")  # and /etc

    def test_long_binds(self):
        self.refused("", "mount-target-invalid", bind=f"{world.AREA}/source:/" + "/".join(["d" * 200] * 30))
        self.refused("", "mount-source-missing", bind="/" + "/".join(["d" * 200] * 30) + ":/m")


class StepSources(Step):
    """The same by the door whose launcher begins as root."""

    def test_descriptors_of_the_launcher(self):
        # /proc/self is the launcher there. By these names it mounts what it has open, which is nothing that
        # the user cannot have otherwise; and never more writable, or with more rights.
        mounted = 0
        for number in range(3, 24):
            done = self.step("sh", "-c", "attack write /m , read /m/zero; grep ' /m ' /proc/self/mountinfo",
                             options=["--bind", f"/proc/self/fd/{number}:/m"])
            with self.subTest(number=number):
                if done.returncode == 1:
                    self.assertRegex(done.stdout, "slipway: error: (mount|image)-")
                    continue
                mounted += 1
                self.assertNotIn("done", done.stdout)
                self.assertRegex(done.stdout, r"(?m)^.* /m \S*nosuid,nodev")
        self.assertGreater(mounted, 0)

    def test_source_of_others(self):
        for source in (world.AREA / "private", "/proc/1/root"):
            done = self.step("true", options=["--bind", f"{source}:/m"])
            self.assertEqual(done.returncode, 1)
            self.assertIn("slipway: error: mount-source-missing: ", done.stdout)
        # Control: step_task, and with it the launcher at its start, is root, who may.
        self.assertEqual(self.step("ls", "/m", uid=0, options=["--bind", f"{world.AREA}/private:/m"]).returncode, 0)

    def test_source_exchanged_meanwhile(self):
        place = world.AREA / "exchanged-step"
        place.mkdir()
        (place / "a").mkdir()
        (place / "a/mine").write_text("")
        (place / "b").symlink_to(world.AREA / "private")
        with Exchange(place / "a", place / "b"):
            for _ in range(ROUNDS):
                done = self.step("ls", "/m", options=["--bind", f"{place}/a:/m"])
                names = [line for line in done.stdout.splitlines()[1:] if not line.startswith("task ")]
                self.assertTrue(names == ["mine"] or "mount-source-missing" in names[0], names)


class Inside(Prompt):
    def attacks(self, *words, **options):
        done = self.run_as("attack", *words, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_changing_mounts(self):
        for uid in (world.UID, 0):
            self.assertEqual(self.attacks("mount", "/opt", ",", "umount", "/tmp", ",", "remount", "/", ",", "move",
                                          "/tmp", "/opt", uid=uid),
                             ["mount EPERM", "umount EPERM", "remount EPERM", "move EPERM"])
        # Control: with the right to mount it works, so the calls are made as they should be.
        self.assertEqual(attack("nested", "mount", "/opt"), ["nested mount done"])

    def test_changing_mounts_in_a_namespace_of_its_own(self):
        self.assertEqual(self.attacks("nested", "remount", "/", ",", "nested", "umount", "/tmp", ",",
                                      "nested", "move", "/tmp", "/opt"),
                         ["nested remount EPERM", "nested umount EINVAL", "nested move EINVAL"])

    def test_climbing_out_of_a_second_root(self):
        inode = self.ok("stat -c %i /").strip()
        self.assertEqual(self.attacks("chroot", "/tmp"), ["chroot EPERM"])
        self.assertEqual(self.attacks("nested", "chroot", "/opt"), [f"nested chroot {inode} done"])

    def test_file_handles(self):
        self.assertEqual(self.attacks("handle", "/tmp"), ["handle EPERM"])
        self.assertEqual(self.attacks("nested", "handle", "/tmp"), ["nested handle EPERM"])
        self.assertEqual(attack("handle", world.AREA, uid=0), ["handle done"])  # control

    def test_host_root_is_gone(self):
        out = self.ok(f"ls -d {world.AREA}/tree 2>&1 || echo gone", no_mount=["tmp", "cwd"], contain=1)
        self.assertEqual(out.strip().splitlines()[-1], "gone")
        self.assertNotIn("oldroot", self.ok("cat /proc/self/mountinfo"))
        self.assertEqual(as_user("ls", world.AREA / "tree").returncode, 0)  # control

    def test_processes_of_others_show_no_root(self):
        self.assertEqual(self.attacks("read", "/proc/1/root/etc/passwd", ",", "read", "/proc/1/cwd/etc/passwd"),
                         ["read EACCES", "read EACCES"])
