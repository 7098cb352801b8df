#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hostile_images.py DIR: OCI layouts below DIR of images that are small on the wire and cost whoever counts only
headers or compressed bytes a gigabyte: deep (30,000 entries, each 250 folders down a path of its own, some
29 MB) and attributes (50,000 different sets of extended attributes, some 4 MB). Prints "NAME BYTES" for each."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "convert"))
# pylint: disable=wrong-import-position
from budget import packed  # noqa: E402
from oci import write_layout  # noqa: E402
from tarmaker import F  # noqa: E402

FOLDERS = 250


def paths(entries, letters):
    for _ in range(entries):
        text = os.urandom(FOLDERS * letters // 2 + 1).hex()
        yield F("/".join(text[i * letters:(i + 1) * letters] for i in range(FOLDERS)), "")


def attributes(entries):
    for i in range(entries):
        yield F("%x" % i, "", pax={"SCHILY.xattr.user.a": "%08d" % i + "v" * 10000})


SHAPES = {"deep": lambda: paths(30_000, 5), "attributes": lambda: attributes(50_000)}


def main():
    for name, make in SHAPES.items():
        layer = packed(make())
        write_layout(os.path.join(sys.argv[1], name), [layer])
        print(name, len(layer.blob), flush=True)


if __name__ == "__main__":
    main()
