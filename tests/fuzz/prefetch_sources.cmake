# SPDX-License-Identifier: Apache-2.0
slipway_add_fuzz(www_authenticate SOURCES www_authenticate.cpp LIBS slipway_prefetch_sources)
slipway_add_fuzz(registry_documents SOURCES registry_documents.cpp LIBS slipway_prefetch_sources)
