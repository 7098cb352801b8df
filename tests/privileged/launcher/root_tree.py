# SPDX-License-Identifier: Apache-2.0
"""A small root file system made of the host's own programs, for tests that run real containers."""
import os
import pathlib
import re
import shutil
import subprocess

TOOLS = "sh cat ls id stat touch sleep env readlink mkdir rm grep head ln true false kill dd wc mv tail setsid unshare".split()


def copy_program(root, name):
    """A program of the host with its libraries: the image needs no network and no other package."""
    path = os.path.realpath(shutil.which(name))
    destination = root / "usr/bin" / name
    shutil.copy(path, destination)
    for line in subprocess.run(["ldd", path], capture_output=True, text=True).stdout.splitlines():
        match = re.search(r"(/\S+) \(0x", line)
        if match:
            library = pathlib.Path(match.group(1))
            target = root / str(library.parent).lstrip("/")
            if not (root / "lib").is_symlink() and str(library).startswith("/lib"):
                target = root / ("usr" + str(library.parent))
            target.mkdir(parents=True, exist_ok=True)
            if not (target / library.name).exists():
                shutil.copy(os.path.realpath(library), target / library.name)


def make_root(root):
    for name in ("usr/bin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "tmp", "var/tmp", "etc",
                 "home", "opt/deep", "many", ".singularity.d/env"):
        (root / name).mkdir(parents=True)
    for link in ("bin", "lib", "lib64"):
        (root / link).symlink_to("usr/" + link)
    for name in TOOLS:
        copy_program(root, name)
    (root / "etc/os-release").write_text('NAME="Slipway test"\n')
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
    (root / "opt/marker").write_text("from the image\n")
    (root / "opt/up").symlink_to("../../../../etc")
    (root / "opt/proc").symlink_to("/proc")
    for i in range(60):
        (root / f"many/{i}").write_text(str(i))
    setuid = root / "usr/bin/setuid-id"
    shutil.copy(root / "usr/bin/id", setuid)
    setuid.chmod(0o4755)
    env = root / ".singularity.d/env"
    (env / "10-docker2singularity.sh").write_text('#!/bin/sh\nexport PATH="/usr/bin:/opt/bin"\n'
                                                  'export IMAGE="${IMAGE:-"yes"}"\n')
