// SPDX-License-Identifier: Apache-2.0
// Internal to transfer/: libcurl's URL object.
#pragma once

#include "prefetch/transfer/url.hpp"

#include <memory>

#include <curl/curl.h>

namespace slipway::prefetch::transfer {

struct UrlHandleDeleter {
    void operator()(CURLU* handle) const noexcept { curl_url_cleanup(handle); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlHandleDeleter>;

/// The URL as libcurl is to fetch it. Reads back what libcurl made of the text, so that what was
/// checked (scheme, host, port, target) is what is fetched; Code::source_protocol when they differ.
base::Result<UrlHandle> url_handle(const Url& url);

} // namespace slipway::prefetch::transfer
