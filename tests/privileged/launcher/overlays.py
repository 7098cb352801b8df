# SPDX-License-Identifier: Apache-2.0
"""Overlays over an image, and directories that are written to."""
import os
import shutil
import struct
import subprocess

import world
from lab import Prompt

USERS = (world.UID, 0)
ARCHITECTURES = {"x86_64": b"02", "aarch64": b"04"}


def squashed(name, change):
    """A SquashFS image of what change(tree) makes."""
    image = world.AREA / f"{name}.sqsh"
    if not image.exists():
        tree = world.AREA / f"{name}.tree"
        tree.mkdir()
        change(tree)
        subprocess.run(["mksquashfs", tree, image, "-quiet", "-no-progress", "-all-root", "-comp", "zstd"],
                       check=True, stdout=subprocess.DEVNULL)
    return image


def sif_of(squashfs, name):
    """A SIF file whose root file system that is."""
    offset, data = 4096, squashfs.read_bytes()
    machine = ARCHITECTURES[os.uname().machine] + b"\0"
    partition = struct.pack("<ii3s", 1, 2, machine)
    descriptor = struct.pack("<i?IIIqqqqqqq128s384s", 0x4004, True, 1, 0xf0000001, 0, offset, len(data), len(data),
                             0, 0, 0, 0, b"root", partition)
    header = struct.pack("<32s10s3s3s16s8q", b"#!/bin/sh\n", b"SIF_MAGIC", b"01", machine, bytes(16), 0, 0, 0, 1, 128,
                         len(descriptor), offset, len(data))
    file = world.AREA / name
    file.write_bytes((header + descriptor).ljust(offset, b"\0") + data)
    return file


def own(name, uid=world.UID):
    """A new directory of that user's."""
    path = world.AREA / f"{name}-{uid}"
    path.mkdir()
    os.chown(path, uid, uid)
    return path


def tools(tree):
    (tree / "opt").mkdir()
    (tree / "opt/tool").write_text("tool\n")
    (tree / "opt/marker").write_text("from the overlay\n")


class Overlays(Prompt):
    def test_squashfs_over_every_kind_of_image(self):
        overlay = squashed("tools", tools)
        for image in (world.SQSH, world.TREE, sif_of(world.SQSH, "root.sif")):
            for uid in USERS:
                for over in (overlay, sif_of(overlay, "tools.sif")):
                    with self.subTest(image=image, uid=uid, over=over):
                        out = self.ok("cat /opt/tool /opt/marker; ls -d /opt/deep; touch /opt/x 2>/dev/null || echo ro",
                                      image=image, uid=uid, overlay=over)
                        self.assertEqual(out, "tool\nfrom the overlay\n/opt/deep\nro\n")

    def test_the_first_is_the_top(self):
        def other(tree):
            (tree / "opt").mkdir()
            (tree / "opt/marker").write_text("from the other\n")
        one, two = squashed("tools", tools), squashed("other", other)
        self.assertEqual(self.ok("cat /opt/marker /opt/tool", overlay=[one, two]), "from the overlay\ntool\n")
        self.assertEqual(self.ok("cat /opt/marker /opt/tool", overlay=[two, one]), "from the other\ntool\n")
        # What takes the changes lies on top of both, wherever it is named.
        place = own("order")
        self.ok("echo changed > /opt/marker", overlay=[one, place, two])
        self.assertEqual(self.ok("cat /opt/marker /opt/tool", overlay=[one, two, place]), "changed\ntool\n")

    def test_a_directory_keeps_changes(self):
        for uid in USERS:
            for image in (world.SQSH, world.TREE if uid == 0 else sif_of(world.SQSH, "keep.sif")):
                with self.subTest(uid=uid, image=image):
                    place = own("keep" + image.name, uid)
                    self.ok("echo new > /opt/new; rm /opt/marker; rm -r /many; mkdir /many; echo one > /many/one",
                            uid=uid, image=image, overlay=place)
                    look = "cat /opt/new; ls /opt/marker 2>/dev/null; ls /many"
                    self.assertEqual(self.ok(look, uid=uid, image=image, overlay=place), "new\none\n")
                    self.assertEqual((place / "upper/opt/new").read_text(), "new\n")
                    # Read-only it shows the same, and is as it was.
                    out = self.ok(look + "; touch /opt/more 2>/dev/null || echo ro", uid=uid, image=image,
                                  overlay=f"{place}:ro")
                    self.assertEqual(out, "new\none\nro\n")
                    self.assertEqual(self.ok("cat /opt/marker; ls -d /many/7", uid=uid, image=image),
                                     "from the image\n/many/7\n")

    def test_whiteouts_in_an_image_made_of_changes(self):
        place = own("packed")
        self.ok("rm /opt/marker; rm -r /many; mkdir /many; echo one > /many/one", overlay=place)
        image = world.AREA / "packed.sqsh"
        subprocess.run(["mksquashfs", place / "upper", image, "-quiet", "-no-progress"], check=True,
                       stdout=subprocess.DEVNULL)
        self.assertEqual(self.ok("ls /opt/marker 2>/dev/null; ls /many", overlay=image), "one\n")

    def test_files_of_every_container_with_a_kept_user(self):
        place = own("users")
        self.ok("echo other:x:77:77::/:/bin/sh >> /etc/passwd", overlay=place)
        out = self.ok("cat /etc/passwd", overlay=place)
        self.assertIn("other:x:77:77", out)
        self.assertEqual(out.count(f":{world.UID}:"), 1)

    def test_changes_in_memory_over_overlays(self):
        overlay = squashed("tools", tools)
        out = self.ok("cat /opt/tool; echo x > /opt/marker; cat /opt/marker", overlay=overlay, writable=1)
        self.assertEqual(out, "tool\nx\n")
        self.assertEqual(self.ok("cat /opt/marker", overlay=overlay), "from the overlay\n")

    def test_binds_of_hidden_and_covered_places(self):
        # The stage in which layers are put together must not hide the host's /tmp.
        name = f"/tmp/slipway-{os.getpid()}"
        os.mkdir(name)
        self.addCleanup(shutil.rmtree, name)
        with open(f"{name}/x", "w") as out:
            out.write("host's\n")
        os.chmod(name, 0o755)
        for options in ({"overlay": squashed("tools", tools)}, {"overlay": own("binds")}, {"writable": 1}):
            self.assertEqual(self.ok(f"cat {name}/x /m/x", bind=f"{name}:/m", **options), "host's\nhost's\n")

    def usage(self, words, **options):
        done = self.sh("echo it runs", **options)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("slipway: error: usage: ", done.stderr)
        self.assertIn(words, done.stderr)

    def test_contradictions(self):
        one, two = own("one"), own("two")
        self.usage("would both be writable", overlay=[one, two])
        self.usage("--writable-tmpfs", overlay=one, writable=1)
        self.usage("no overlay over it", overlay=one, write_image=1, image=world.TREE)
        self.usage("no overlay over it", overlay=f"{one}:ro", write_image=1, image=world.TREE)
        self.usage("--writable-tmpfs", writable=1, write_image=1, image=world.TREE)
        self.usage("only directories can be written to", write_image=1)
        self.assertEqual(os.listdir(one) + os.listdir(two), [])

    def test_what_cannot_be_an_overlay(self):
        self.refused("overlay", "image-not-found", overlay=world.AREA / "nowhere")
        ext3 = world.AREA / "disk.img"
        with open(ext3, "wb") as out:
            out.truncate(1 << 20)
            out.seek(1024 + 56)
            out.write(b"\x53\xef")
        self.refused("ext3", "image-unsupported", overlay=ext3)
        self.refused("the directory upper", "mount-failed", overlay=f"{own('empty')}:ro")
        self.refused("too many", "limit-exceeded", overlay=[squashed("tools", tools)] * 13)
        self.assertIn("tool", self.ok("cat /opt/tool", overlay=[squashed("tools", tools)] + [
            squashed(f"n{i}", tools) for i in range(11)]))

    def test_a_file_system_that_holds_no_changes(self):
        # An overlay is one, and so is what takes no attributes of users (ramfs).
        for kind, words in (("ramfs", "no user attributes"), ("overlay", "cannot keep changes")):
            place = own(f"on-{kind}")
            if kind == "ramfs":
                subprocess.run(["mount", "-t", "ramfs", "none", place], check=True)
            else:
                layers = [own(f"on-overlay-{part}") for part in ("lower", "upper", "work")]
                options = "lowerdir={},upperdir={},workdir={}".format(*layers)
                subprocess.run(["mount", "-t", "overlay", "none", "-o", options + ",userxattr", place], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", place])
            os.chown(place, world.UID, world.UID)
            with self.subTest(kind=kind):
                self.refused(words, "mount-failed", overlay=place)

    def test_plan(self):
        place = own("planned")
        env = dict(world.ENV, SLIPWAY_TEST_PLAN="1")
        out = self.ok("true", overlay=[squashed("tools", tools), place], env=env)
        self.assertIn(f"overlay '{place}' directory\nroot    writable, changes in '{place}/upper'\n", out)
        self.assertIn(f"image   '{world.SQSH}'\noverlay '{world.AREA}/tools.sqsh' ro\n", out)
        self.assertEqual(os.listdir(place), [])
        self.ok("echo new > /opt/new", overlay=place)
        self.assertIn("upper", self.ok("true", overlay=place, env=env))


class WritableDirectories(Prompt):
    def tree(self, uid):
        tree = world.AREA / f"sandbox-{uid}-{self.id().rsplit('.', 1)[1]}"
        subprocess.run(["cp", "-a", world.TREE, tree], check=True)
        subprocess.run(["chown", "-hR", f"{uid}:{uid}", tree], check=True)
        return tree

    def test_changes_stay_in_the_directory(self):
        for uid in USERS:
            tree = self.tree(uid)
            self.ok("echo new > /opt/new; rm /opt/marker", uid=uid, image=tree, write_image=1)
            self.assertEqual((tree / "opt/new").read_text(), "new\n")
            self.assertFalse((tree / "opt/marker").exists())
            # The node's files are shown in there, not left there.
            self.assertEqual((tree / "etc/passwd").read_text(), "root:x:0:0:root:/root:/bin/sh\n")
            self.assertIn("Read-only", self.sh("touch /opt/x", uid=uid, image=tree).stderr)

    def test_mount_points_are_made_in_an_own_directory(self):
        tree = self.tree(world.UID)
        out = self.ok("cat /new/place/x", image=tree, write_image=1, bind=f"{world.AREA}/source:/new/place")
        self.assertEqual(out, "x\n")
        self.assertEqual(os.listdir(tree / "new/place"), [])

    def test_mount_points_are_not_made_in_that_of_others(self):
        options = {"image": world.TREE, "write_image": 1, "no_mount": "cwd"}
        self.refused("destination '/new' doesn't exist in container", "mount-target-invalid",
                     bind=f"{world.AREA}/source:/new", **options)
        self.refused("destination '/home/me' doesn't exist in container", "mount-target-invalid",
                     home=f"{world.AREA}/source:/home/me", **options)
        done = self.sh("echo it runs", **options)  # /etc/hosts is missing there
        self.assertEqual((done.returncode, done.stdout), (0, "it runs\n"), done.stderr)
        self.assertIn("destination '/etc/hosts' doesn't exist in container", done.stderr)
        self.assertFalse((world.TREE / "new").exists())
        self.assertIn("Permission denied", self.sh("touch /opt/x", **options).stderr)
