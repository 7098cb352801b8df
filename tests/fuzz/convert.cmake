# SPDX-License-Identifier: Apache-2.0
# Seeds are made by tests/integration/convert/make_corpus.py from the same layer sets as the tests.
find_package(ZLIB REQUIRED)
slipway_add_fuzz(layer_tar SOURCES layer_tar.cpp LIBS slipway_prefetch_convert)
slipway_add_fuzz(layer_gzip SOURCES layer_gzip.cpp LIBS slipway_prefetch_convert ZLIB::ZLIB)
slipway_add_fuzz(layer_zstd SOURCES layer_zstd.cpp LIBS slipway_prefetch_convert)
slipway_add_fuzz(convert_layers SOURCES convert_layers.cpp LIBS slipway_prefetch_convert)
slipway_add_fuzz(convert_protocol SOURCES convert_protocol.cpp LIBS slipway_prefetch_conversion)
