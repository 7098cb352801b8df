#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""real.py CONVERT_LAYOUT TESTS_CLUSTER_DIR [IMAGE…]: converts whole Debian images (made and cached by
tests/cluster; default debian and debian-py) and compares every file with what umoci unpacks."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import oci
from run import convert, umoci


def layout(cluster, name):
    script = f'set -eu; . "{cluster}/../../contrib/lib/common.sh"; HERE="{cluster}"; . "{cluster}/lib/images.sh"; layout {name}'
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return None
    return done.stdout.strip().splitlines()[-1]


def check(tool, source, work):
    started = int(time.time()) - 2
    code, report, message = convert(tool, source, work + "/out.sif", ["keep=1", "name=latest"])
    if code != 0:
        return [message.strip()]
    good, message = umoci(source, work + "/umoci")
    if not good:
        return [f"umoci failed: {message.strip()}"]
    oci.unpack_sif(work + "/out.sif", work + "/ours")
    problems = oci.differences(oci.walk(work + "/umoci"), oci.walk(work + "/ours"), started)
    for key in ("dead_bytes", "second_visits"):
        if report[key] != "0":
            problems.append(f"{key} is {report[key]}: real images should need no such thing")
    digests = {convert(tool, source, work + "/again.sif", ["name=latest", *options])[1].get("output")
               for options in ([], ["threads=1"], ["threads=7", "memory=8MiB"])}
    if len(digests) != 1 or None in digests:
        problems.append(f"not the same bytes each time: {digests}")
    return problems


def main():
    tool, cluster = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    missing = [p for p in ("umoci", "unsquashfs", "debootstrap") if not shutil.which(p)]
    if os.geteuid() != 0 or missing:
        print("skip: needs root" if not missing else f"skip: needs {', '.join(missing)}")
        return 1 if os.environ.get("REQUIRE_ALL") == "1" else 77
    failed = 0
    for name in sys.argv[3:] or ["debian", "debian-py"]:
        source = layout(cluster, name)
        if source is None:
            print(f"skip: image {name} could not be made (no Debian mirror?)")
            return 1 if os.environ.get("REQUIRE_ALL") == "1" else 77
        with tempfile.TemporaryDirectory(prefix="convert-") as work:
            problems = check(tool, source, work)
        print("ok" if not problems else "NOT OK", name)
        for problem in problems[:50]:
            print("   ", problem)
        failed += bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
