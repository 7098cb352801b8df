#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_corpus.py TESTS_FUZZ_DIR: writes the seeds of the fuzz targets layer_tar, layer_gzip, layer_zstd
and convert_layers from the layer sets of cases.py. Their output is committed; run it after adding cases."""
import os
import struct
import sys

from cases import FORMATS, LINKS, METADATA, PACKING, PATHS, REPLACING, WHITEOUTS
from oci import Layer, pack
from run import layer_objects
from tarmaker import F, tar

LARGEST = 12 * 1024


def save(folder, name, data):
    if len(data) <= LARGEST:
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)


def main():
    corpus = {t: os.path.join(sys.argv[1], "corpus", t)
              for t in ("layer_tar", "layer_gzip", "layer_zstd", "convert_layers")}
    for folder in corpus.values():
        os.makedirs(folder, exist_ok=True)
    for case in FORMATS + METADATA[:14] + PATHS[:3] + LINKS[:3]:
        for layer in layer_objects(case.layers[:1]):
            save(corpus["layer_tar"], case.name, b"\x63" + layer.tar.rstrip(b"\0") + b"\0" * 40)
    for case in WHITEOUTS + PATHS + LINKS + REPLACING + METADATA:
        packed = b""
        for layer in case.layers:
            data = layer if isinstance(layer, bytes) else tar(layer, b"")
            packed += struct.pack("<H", len(data) // 64) + data
        save(corpus["convert_layers"], case.name, packed)
    small = tar([F("a", "hello" * 50), F("b", bytes(range(256)))])
    for piece in (0, 9, 255):
        save(corpus["layer_gzip"], f"one-{piece}", bytes([piece]) + pack(small, "gzip"))
        save(corpus["layer_gzip"], f"two-{piece}", bytes([piece]) + pack(small, "gzip") * 2 + b"\0" * 9)
        save(corpus["layer_zstd"], f"one-{piece}", bytes([piece]) + pack(small, "zstd"))
        save(corpus["layer_zstd"], f"two-{piece}", bytes([piece]) + pack(small, "zstd") * 2)
    for case in PACKING:
        for layer in case.layers:
            if len(layer) == 1 and isinstance(layer[0], Layer):
                blob = layer[0].blob
                save(corpus["layer_gzip" if blob[:1] == b"\x1f" else "layer_zstd"], case.name, b"\x40" + blob)


if __name__ == "__main__":
    main()
