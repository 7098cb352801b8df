#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py CONVERT_LAYOUT [NAME…]: converts every layer set of cases.py and compares with umoci.
Ends with 77 where it cannot run (not root, no umoci), 1 when a case fails."""
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import oci
from cases import ALL
from tarmaker import tar


# What a conversion of a hostile shape may have, and the most that anything here may take: the budget, and what
# budget.py allows besides.
BUDGET = "memory=64MiB"
MOST_MIB = 128


def layer_objects(layers):
    """A layer is a list of entries, a whole archive, or a list that holds one Layer."""
    out = []
    for layer in layers:
        if isinstance(layer, bytes):
            out.append(oci.Layer(layer))
        elif len(layer) == 1 and isinstance(layer[0], oci.Layer):
            out.append(layer[0])
        else:
            out.append(oci.Layer(tar(layer)))
    return out


def convert(tool, layout, sif, options):
    done = subprocess.run([tool, "digest=1", *options, layout, sif], capture_output=True, text=True,
                          errors="replace")
    report = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        report[key] = value
    return done.returncode, report, done.stderr


def umoci(layout, target):
    done = subprocess.run(["umoci", "raw", "unpack", "--image", layout + ":latest", target],
                          capture_output=True, text=True, errors="replace")
    return done.returncode == 0, done.stderr


def check_error(case, work, tool):
    code, _, message = convert(tool, work + "/layout", work + "/out.sif", [BUDGET, *case.options])
    problems = []
    if code != 255 or f"slipway: error: {case.error}: " not in message:
        problems.append(f"want error {case.error}, have exit {code}: {message.strip()}")
    if os.path.exists(work + "/out.sif") and os.path.getsize(work + "/out.sif") != 0:
        problems.append("a failed conversion left something behind")
    if not case.umoci_ok and umoci(work + "/layout", work + "/umoci")[0]:
        problems.append("umoci accepts this")
    return problems


def check_same_bytes(case, work, tool, digest):
    """Other numbers of threads and buffers, the same image."""
    problems = []
    for options in (["threads=1", "memory=1MiB"], ["threads=5"]):
        _, report, message = convert(tool, work + "/layout", work + "/again.sif", [*case.options, *options])
        if report.get("output") != digest:
            problems.append(f"not the same image with {options}: {message.strip()}")
    return problems


def check_case(case, work, tool):
    oci.write_layout(work + "/layout", layer_objects(case.layers))
    if case.error:
        return check_error(case, work, tool)
    code, report, message = convert(tool, work + "/layout", work + "/out.sif", [*case.options, "keep=1"])
    if code != 0:
        return [f"conversion failed: {message.strip()}"]
    problems = []
    for key, want in case.report.items():
        have = report.get(key)
        if have is None or (want is not None and have != want):
            problems.append(f"report {key}: want {want}, have {have}")
    reference = work + "/layout"
    if case.alt is not None:
        reference = work + "/alt"
        oci.write_layout(reference, layer_objects(case.alt))
    started = int(time.time()) - 2
    if case.layers:
        good, message = umoci(reference, work + "/umoci")
        if not good:
            return problems + [f"umoci failed: {message.strip()}"]
    else:  # umoci makes nothing of no layers
        os.mkdir(work + "/umoci")
    oci.unpack_sif(work + "/out.sif", work + "/ours")
    if case.layers:
        problems += oci.differences(oci.walk(work + "/umoci"), oci.walk(work + "/ours"), started)
    return problems + check_same_bytes(case, work, tool, keep_digest(case, work, tool))


def keep_digest(case, work, tool):
    return convert(tool, work + "/layout", work + "/again.sif", case.options)[1].get("output")


def main():
    tool, wanted = os.path.abspath(sys.argv[1]), set(sys.argv[2:])
    missing = [p for p in ("umoci", "unsquashfs", "zstd") if not shutil.which(p)]
    if os.geteuid() != 0 or missing:
        print("skip: needs root" if not missing else f"skip: needs {', '.join(missing)}")
        return 1 if os.environ.get("REQUIRE_ALL") == "1" else 77
    os.umask(0o022)
    names = [case.name for case in ALL]
    assert len(names) == len(set(names)), "two cases of one name"
    failed = 0
    for case in ALL:
        if wanted and case.name not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="convert-") as work:
            problems = check_case(case, work, tool)
        print("ok" if not problems else "NOT OK", case.name, flush=True)
        for problem in problems:
            print("   ", problem)
        failed += bool(problems)
    # The largest of all that was started, umoci included: no shape makes a conversion grow.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    if peak > MOST_MIB:
        print(f"NOT OK memory: something took {peak} MiB")
        failed += 1
    print(f"{len(names)} cases, {failed} failed, at most {peak} MiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
