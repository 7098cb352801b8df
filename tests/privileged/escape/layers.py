# SPDX-License-Identifier: Apache-2.0
"""Out by overlays: directories of the user's that the launcher makes layers of."""
import os
import stat
import subprocess

import world
from attacks import ZERO, Exchange, as_user, bad_files
from lab import Prompt

ROUNDS = 25


class Layers(Prompt):
    def place(self, *parts):
        place = world.AREA / f"over-{self.id().rsplit('.', 1)[1]}"
        place.mkdir()
        for part in parts:
            (place / part).mkdir()
        self.give(place)
        return place

    def give(self, place):
        subprocess.run(["chown", "-hR", f"{world.UID}:{world.UID}", place], check=True)

    def victim(self):
        """A directory of the same user's, which no overlay may reach."""
        victim = world.AREA / f"victim-{self.id().rsplit('.', 1)[1]}"
        victim.mkdir()
        (victim / "secret").write_text("secret\n")
        os.chown(victim, world.UID, world.UID)
        # Control: the user reaches it on the host, so only the launcher's care keeps the overlay out.
        self.assertEqual(as_user("cat", victim / "secret").stdout, "secret\n")
        return victim

    def test_symlinked_upper(self):
        place, victim = self.place("work"), self.victim()
        (place / "upper").symlink_to(victim)
        for overlay in (place, f"{place}:ro"):
            self.refused("no symlink", "mount-failed", overlay=overlay)
        self.assertEqual(os.listdir(victim), ["secret"])

    def test_symlinked_work(self):
        place, victim = self.place("upper"), self.victim()
        (place / "work").symlink_to(victim)
        self.refused("no symlink", "mount-failed", overlay=place)
        self.assertEqual(os.listdir(victim), ["secret"])

    def test_upper_exchanged_for_a_symlink_meanwhile(self):
        # In the same mount, where the kernel would have nothing against it.
        place = self.place("upper", "work", "other")
        victim = place / "other"
        (victim / "secret").write_text("secret\n")
        (place / "link").symlink_to("other")
        outcomes = set()
        with Exchange(place / "upper", place / "link"):
            for _ in range(ROUNDS):
                done = self.sh("cat /secret 2>/dev/null; echo it runs", overlay=place)
                outcomes.add((done.returncode, done.stdout))
        self.assertLessEqual(outcomes, {(0, "it runs\n"), (255, "")})
        self.assertEqual(os.listdir(victim), ["secret"])

    def test_upper_and_work_of_others(self):
        for other in ("upper", "work"):
            place = world.AREA / f"over-others-{other}"
            place.mkdir()
            for part in ("upper", "work"):
                (place / part).mkdir()
            self.give(place)
            os.chown(place / other, 0, 0)
            (place / other).chmod(0o777)
            self.refused("belongs to somebody else", "mount-failed", overlay=place)

    def test_upper_that_is_a_mount(self):
        place, victim = self.place("upper", "work"), self.victim()
        subprocess.run(["mount", "--bind", victim, place / "upper"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", place / "upper"])
        self.refused("no mount", "mount-failed", overlay=place)
        self.assertEqual(os.listdir(victim), ["secret"])

    def test_attributes_that_point_elsewhere(self):
        place = self.place("upper", "work")
        for kind in ("trusted", "user"):
            moved = place / f"upper/{kind}"
            moved.mkdir()
            os.setxattr(moved, f"{kind}.overlay.redirect", b"/etc")
            data = place / f"upper/{kind}-data"
            data.write_bytes(b"")
            os.setxattr(data, f"{kind}.overlay.metacopy", b"")
            os.setxattr(data, f"{kind}.overlay.redirect", b"/etc/os-release")
            os.truncate(data, 20)
        self.give(place)
        for overlay in (place, f"{place}:ro"):
            # Neither does a redirected directory show another one, nor an empty file another's content.
            out = self.sh("ls /trusted /user 2>/dev/null; grep -c Slipway /trusted-data /user-data 2>/dev/null; "
                          "grep -c Slipway /etc/os-release", overlay=overlay).stdout
            self.assertNotIn("os-release", out)
            self.assertNotIn(":1", out)
            self.assertTrue(out.endswith("\n1\n"), out)  # control: that is what they point to

    def test_devices(self):
        place = self.place("upper", "work")
        os.mknod(place / "upper/zero", 0o666 | stat.S_IFCHR, ZERO)
        (place / "upper/zero").chmod(0o666)
        self.assertEqual(as_user("head", "-c", "1", place / "upper/zero").stdout, "\0")  # control
        for overlay in (place, f"{place}:ro"):
            self.assertEqual(self.ok("head -c 1 /zero 2>/dev/null | wc -c", overlay=overlay).strip(), "0")

    def test_files_that_give_rights(self):
        place = self.place("upper", "work")
        bad_files(place / "upper/bad")
        for path in (place / "upper/bad/setuid", place / "upper/bad/setgid"):
            self.assertEqual(path.stat().st_uid, 0)
        # Control: on the host the file makes its caller root.
        self.assertEqual(as_user(place / "upper/bad/setuid", "-u").stdout, "0\n")
        for overlay in (place, f"{place}:ro"):
            out = self.ok("/bad/setuid -u; /bad/setgid -g; /bad/capable raw", overlay=overlay)
            self.assertEqual(out, f"{world.UID}\n{world.UID}\nraw EPERM\n")

    def test_upper_of_links_to_the_host(self):
        # Symlinks in a layer are the container's: they lead to its own files.
        place = self.place("upper", "work")
        (place / "upper/far").symlink_to("../" * 20 + str(world.AREA) + "/private")
        (place / "upper/etc").symlink_to("/proc/self/root/etc")
        self.give(place)
        done = self.sh("ls /far/ 2>&1; echo it ran", overlay=place, no_mount="cwd")
        self.assertNotIn("secret", done.stdout)

    def test_directories_of_others_as_overlay(self):
        place = world.AREA / "over-private"
        place.mkdir(mode=0o700)
        (place / "upper").mkdir()
        for overlay in (place, f"{place}:ro"):
            self.refused("Permission denied", "image-unreadable", overlay=overlay)
        place.chmod(0o755)
        self.refused("belongs to somebody else", "mount-failed", overlay=place)

    def test_writing_to_an_image_of_others(self):
        options = {"image": world.TREE, "write_image": 1, "no_mount": "cwd"}
        done = self.sh("touch /opt/mine; echo x > /etc/os-release; /opt/bad/setuid -u", **options)
        self.assertTrue(done.stdout.endswith(f"{world.UID}\n"), done.stdout)
        self.assertFalse((world.TREE / "opt/mine").exists())
        self.assertIn("Slipway", (world.TREE / "etc/os-release").read_text())
