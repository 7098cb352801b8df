# SPDX-License-Identifier: Apache-2.0
"""Files that are not what they are read as: in an image, and as an image."""
import os
import pathlib
import socket
import stat
import subprocess

import world
from attacks import ZERO, image_of
from harness import described, wait_until
from lab import Prompt


def replaced(names, make):
    """change() for image_of(): another thing instead of each of these files."""
    def change(tree):
        for name in names:
            (tree / name).unlink(missing_ok=True)
            make(tree / name)
    return change


def fifo(path):
    os.mkfifo(path, 0o666)


def device(path):
    os.mknod(path, 0o666 | stat.S_IFCHR, ZERO)


def listener(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def huge(path):
    with open(path, "wb") as out:
        out.truncate(300 << 20)


KINDS = {"fifo": fifo, "device": device, "socket": listener, "directory": pathlib.Path.mkdir, "huge": huge,
         "loop": lambda path: path.symlink_to(path.name),
         "outside": lambda path: path.symlink_to("../" * 20 + "etc/shadow"),
         "process": lambda path: path.symlink_to("/proc/self/environ")}


class ImageFiles(Prompt):
    ETC = tuple(f"etc/{name}" for name in ("passwd", "group", "hosts", "resolv.conf", "localtime"))
    SCRIPT = (".singularity.d/env/95-test.sh",)

    def outcomes(self, names, command, kinds=KINDS, uid=world.UID):
        """By kind of thing instead of an image's files: what the command says, or the error and its code."""
        found = {}
        for kind in kinds:
            image = image_of(f"{os.path.basename(names[0])}-{kind}", replaced(names, KINDS[kind]))
            done = self.sh(command, image=image, uid=uid)
            found[kind] = done.stdout if done.returncode == 0 else done.stderr
        return found

    def test_users_and_groups(self):
        for uid in (world.UID, 0):  # root could read what the links lead to on the host
            found = self.outcomes(self.ETC, "id -u; grep -c : /etc/passwd; grep -c : /etc/group", uid=uid)
            # A file cannot be mounted on a directory: that is left out, with a warning.
            directory = found.pop("directory")
            for name in ("passwd", "group"):
                self.assertIn(f"'/etc/{name}' is a directory in the image", directory)
            # Whatever else is there holds nothing: the user's own line, and nobody's (root has no second one).
            lines = 2 if uid else 1
            self.assertEqual(found, dict.fromkeys(found, f"{uid}\n{lines}\n{lines}\n"))

    def test_users_who_are_somebody_else(self):
        text = (f"root:x:{world.UID}:0::/:/bin/sh\nme:x:{world.UID}:0::/:/bin/sh\n" + "a" * 100000 + "\n"
                f"nul\0:x:0:0::/:/bin/sh\n:::::::::\n" + f"more:x:{world.UID}:{world.UID}::/:/bin/sh\n" * 2000)
        image = image_of("many-users", replaced(["etc/passwd"], lambda path: path.write_text(text)))
        self.assertEqual(self.ok("id -u; id -g; attack root", image=image),
                         f"{world.UID}\n{world.UID}\nroot EINVAL\n")

    def test_files_that_are_mounted_over(self):
        found = self.outcomes(self.ETC, "id -u; [ -f /etc/hosts ] && echo of the host")
        self.assertIn("'/etc/hosts' is a directory in the image", found.pop("directory"))
        self.assertEqual(found, dict.fromkeys(found, f"{world.UID}\nof the host\n"))

    def test_environment_scripts(self):
        found = self.outcomes(self.SCRIPT, "id -u", [kind for kind in KINDS if kind != "huge"])
        for kind, code in (("fifo", "timed-out"), ("device", "launcher-failed"), ("socket", "launcher-failed")):
            self.assertIn(f"slipway: error: {code}: the image's environment scripts ", found.pop(kind))
        self.assertEqual(found, dict.fromkeys(found, f"{world.UID}\n"))


class Images(Prompt):
    def test_what_is_no_image(self):
        for kind, code in (("fifo", "image-format"), ("device", "image-format"), ("socket", "image-unreadable"),
                           ("huge", "image-format"), ("loop", "image-not-found"), ("outside", "image-unreadable")):
            path = world.AREA / f"image-{kind}"
            KINDS[kind](path)
            with self.subTest(kind=kind):
                self.refused("", code, image=path)

    # A file that was not read before, and one that was.
    WHOLE = (0, "0\nfrom the image\n")
    BROKEN = (0, "1\nfrom the image\n")

    def meanwhile(self, name, change):
        """What a container says that reads its image again after change(path)."""
        path = world.AREA / f"{name}.sqsh"
        path.write_bytes(world.SQSH.read_bytes())
        process = subprocess.Popen(
            self.command("sh", "-c", "cat /opt/marker; read go; cat /usr/bin/attack >/dev/null 2>&1; echo $?; "
                         "cat /opt/marker", image=path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=world.WORK, env=world.ENV)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "from the image\n")
        change(path)
        out, _ = process.communicate("go\n", timeout=30)
        self.assertTrue(wait_until(lambda: described(path.name) == []), described(path.name))
        return process.returncode, out

    def test_image_cut_meanwhile(self):
        self.assertEqual(self.meanwhile("cut-meanwhile", lambda path: os.truncate(path, 10000)), self.BROKEN)

    def test_image_emptied_meanwhile(self):
        self.assertEqual(self.meanwhile("emptied", lambda path: os.truncate(path, 0)), self.BROKEN)

    def test_image_overwritten_meanwhile(self):
        change = lambda path: path.write_bytes(bytes(path.stat().st_size))
        self.assertEqual(self.meanwhile("overwritten", change), self.BROKEN)

    def test_image_replaced_meanwhile(self):
        def replace(path):
            new = path.with_suffix(".new")
            new.write_bytes(b"nothing")
            new.rename(path)
        self.assertEqual(self.meanwhile("replaced", replace), self.WHOLE)

    def test_image_removed_meanwhile(self):
        self.assertEqual(self.meanwhile("removed", os.unlink), self.WHOLE)
