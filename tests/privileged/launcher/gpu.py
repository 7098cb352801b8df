# SPDX-License-Identifier: Apache-2.0
"""--nv and --rocm on a node with a driver that is painted: libraries, a loader's cache, a program, a socket and
device nodes, each seen by one command only."""
import os
import pathlib
import shutil
import socket
import stat
import struct
import subprocess

import world
from lab import Prompt

MACHINES = {"x86_64": (62, 0x0303), "aarch64": (183, 0x0a03)}
ELF, FLAGS = MACHINES[os.uname().machine]
CONTAIN = {"contain": 1, "workdir": "/"}
LIBS = "/.singularity.d/libs"
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0),
         "fuse": (10, 229), "nvidia0": (195, 0), "nvidiactl": (195, 255), "kfd": (240, 0),
         "nvidia-caps/nvidia-cap2": (241, 2), "dri/renderD128": (226, 128)}


def library(text, bits=2, machine=ELF):
    return struct.pack("<4sBBB9xHH", b"\x7fELF", bits, 1, 1, 3, machine) + text.encode()


def cache(entries):
    strings, out, start = b"", b"", 48 + 24 * len(entries)
    for name, path, flags in entries:
        places = []
        for text in (name, path):
            places.append(start + len(strings))
            strings += str(text).encode() + b"\0"
        out += struct.pack("<IIIIQ", flags, *places, 0, 0)
    return b"glibc-ld.so.cache1.1" + struct.pack("<IIB19x", len(entries), len(strings), 2) + out + strings


class Gpu(Prompt):
    @classmethod
    def setUpClass(cls):
        cls.driver = world.AREA / "driver"
        (cls.driver / "real").mkdir(parents=True)
        (cls.driver / "programs").mkdir()
        (cls.driver / "run").mkdir()
        (cls.driver / "real/libcuda.so.550.1").write_bytes(library("cuda"))
        (cls.driver / "libcuda.so.1").symlink_to("real/libcuda.so.550.1")
        (cls.driver / "libcuda.so").symlink_to("libcuda.so.1")
        (cls.driver / "libnvidia-ml.so.1").write_bytes(library("ml"))
        (cls.driver / "libdrm.so.2").write_bytes(library("drm"))
        (cls.driver / "libEGL.so.1").write_bytes(library("egl"))
        (cls.driver / "lib32.so").write_bytes(library("32 bits", 1, 3))
        (cls.driver / "programs/nvidia-smi").write_bytes(library("smi"))
        (cls.driver / "cache").write_bytes(cache([
            ("libcuda.so.1", cls.driver / "lib32.so", 3), ("libcuda.so.1", cls.driver / "lib32.so", FLAGS),
            ("libcuda.so.1", cls.driver / "libcuda.so.1", FLAGS), ("libcuda.so", cls.driver / "libcuda.so", FLAGS),
            ("libnvidia-ml.so.1", cls.driver / "libnvidia-ml.so.1", FLAGS),
            ("libEGL.so.1", cls.driver / "libEGL.so.1", FLAGS),
            ("libdrm.so.2", cls.driver / "libdrm.so.2", FLAGS), ("libother.so", cls.driver / "libEGL.so.1", FLAGS)]))
        cls.dev = cls.driver / "dev"
        for name, number in NODES.items():
            (cls.dev / name).parent.mkdir(parents=True, exist_ok=True)
            os.mknod(cls.dev / name, 0o666 | stat.S_IFCHR, os.makedev(*number))
            os.chmod(cls.dev / name, 0o666)
        (cls.dev / "shm").mkdir()
        cls.plain = world.AREA / "plain"
        shutil.copytree(world.TREE, cls.plain, symlinks=True)
        shutil.rmtree(cls.plain / ".singularity.d")

    def gpu(self, script, image=None, env=None, without=False, **options):
        """The command on a node with that driver."""
        mounts = [(self.driver / "cache", "/etc/ld.so.cache"), (self.driver / "programs", "/usr/local/sbin"),
                  (self.dev, "/dev")]
        prepare = "; ".join(f"mount --bind {source} {target}" for source, target in mounts)
        if without:
            prepare = ": > /tmp/empty-$$; mount --bind /tmp/empty-$$ /etc/ld.so.cache; rm /tmp/empty-$$"
        command = self.command("sh", "-c", script, image=image, **options)
        return subprocess.run(["unshare", "-m", "sh", "-ec", f'{prepare}; exec "$@"', "sh", *command],
                              capture_output=True, text=True, timeout=60, cwd=world.WORK, env=env or world.ENV)

    def good(self, script, **options):
        done = self.gpu(script, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_libraries_of_the_driver(self):
        for image in (world.SQSH, world.TREE, self.plain):
            for uid in (world.UID, 0):
                for options in ({}, {"writable": 1}, {"fakeroot": 1}):
                    if options.get("writable") and uid and image != world.SQSH:
                        continue  # the tree is root's: a user makes no mount points over it
                    with self.subTest(image=image, uid=uid, **options):
                        out = self.good(f"ls {LIBS}; tail -c 4 {LIBS}/libcuda.so.1 {LIBS}/libcuda.so | grep -c cuda$",
                                        image=image, uid=uid, nv=1, **options)
                        self.assertEqual(out.split(), ["libEGL.so.1", "libcuda.so", "libcuda.so.1", "libnvidia-ml.so",
                                                       "libnvidia-ml.so.1", "2"])

    def test_the_loader_is_told(self):
        for image in (world.SQSH, self.plain):
            self.assertEqual(self.good("echo $LD_LIBRARY_PATH", image=image, nv=1).strip().split(":")[-1], LIBS)
        self.assertNotIn(LIBS, self.good("echo $LD_LIBRARY_PATH", image=self.plain))

    def test_they_cannot_be_changed(self):
        done = self.gpu(f"echo x > {LIBS}/libcuda.so.1; echo x > /usr/bin/nvidia-smi", nv=1, uid=0)
        self.assertEqual(done.stderr.count("Read-only file system"), 2, done.stderr)

    def test_programs(self):
        self.assertEqual(self.good("tail -c 3 /usr/bin/nvidia-smi", nv=1), "smi")

    def test_nothing_unless_asked_for(self):
        self.assertEqual(self.good(f"ls {LIBS} /usr/bin/nvidia-smi 2>/dev/null || true"), "")

    def test_devices(self):
        self.assertIn("nvidiactl", self.good("ls /dev", nv=1))
        out = self.good("ls /dev; [ -c /dev/nvidia0 ]; [ -c /dev/nvidia-caps/nvidia-cap2 ]", nv=1, **CONTAIN)
        self.assertNotIn("kfd", out)
        self.assertNotIn("nvidia0", self.good("ls /dev", **CONTAIN))
        out = self.good("ls /dev; [ -c /dev/dri/renderD128 ]", rocm=1, **CONTAIN)
        self.assertIn("kfd", out)
        self.assertNotIn("nvidia0", out)

    def test_a_device_can_be_opened(self):
        # Neither a number of which there is no driver nor a mount option stands in the way.
        done = self.gpu("cat /dev/nvidia0", nv=1, **CONTAIN)
        self.assertIn("No such device or address", done.stderr)

    def test_rocm_gives_what_the_image_lacks(self):
        self.assertEqual(self.good(f"ls {LIBS}", rocm=1), "libdrm.so.2\n")
        have = world.TREE / "usr/lib/libdrm.so.2"
        have.write_text("")
        self.addCleanup(have.unlink)
        done = self.gpu(f"ls {LIBS} 2>/dev/null", image=world.TREE, rocm=1)
        self.assertEqual(done.stdout, "")
        self.assertIn("Could not find any rocm files on this host!", done.stderr)

    def test_both(self):
        done = self.gpu(f"ls {LIBS}", nv=1, rocm=1)
        self.assertIn("only --nv is used", done.stderr)
        self.assertNotIn("libdrm", done.stdout)

    def test_a_node_without_a_driver(self):
        done = self.gpu("echo it runs", nv=1, without=True)
        self.assertEqual(done.stdout, "it runs\n")
        self.assertEqual(done.stderr.count("Could not find any nv files on this host!"), 1, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_mps(self):
        place = world.AREA / "mps"
        place.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place / "control"))
            env = {**world.ENV, "CUDA_MPS_PIPE_DIRECTORY": str(place)}
            self.assertEqual(self.good(f"ls {place}", nv=1, env=env, **CONTAIN), "control\n")

    def test_variables_of_devices(self):
        env = {**world.ENV, "CUDA_VISIBLE_DEVICES": "3", "OTHER": "x"}
        out = self.good("echo $CUDA_VISIBLE_DEVICES$OTHER", nv=1, contain="all", workdir="/", env=env)
        self.assertEqual(out, "3\n")

    def test_the_sites_list(self):
        (world.AREA / "list").write_text(f"libnvidia-ml.so # only that\n{self.driver}/lib32.so\n")
        before = world.CONFIG.read_text()
        self.addCleanup(world.CONFIG.write_text, before)
        world.CONFIG.write_text(before.replace("}", f", nv_library_list: {world.AREA}/list}}"))
        out = self.good(f"ls {LIBS}; tail -c 7 {self.driver}/lib32.so", nv=1)
        self.assertEqual(out, "libnvidia-ml.so\nlibnvidia-ml.so.1\n32 bits")

    def test_links_of_the_image(self):
        tree = world.AREA / "hostile"
        shutil.copytree(self.plain, tree, symlinks=True)
        shared = pathlib.Path("/tmp") / f"slipway-gpu-{os.getpid()}"
        shared.mkdir(mode=0o777)
        self.addCleanup(shutil.rmtree, shared)
        (tree / ".singularity.d").symlink_to(shared)
        (tree / "usr/bin/nvidia-smi").symlink_to(shared / "smi")
        done = self.gpu("echo it runs", image=tree, nv=1, uid=0)
        self.assertIn("it runs", done.stdout, done.stderr)
        self.assertEqual(os.listdir(shared), [])
