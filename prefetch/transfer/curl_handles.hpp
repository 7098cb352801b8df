// SPDX-License-Identifier: Apache-2.0
// Internal to transfer/: owners of what libcurl gives out.
#pragma once

#include <cstring>

#include <curl/curl.h>

namespace slipway::prefetch::transfer {

struct EasyDeleter {
    void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
struct MultiDeleter {
    void operator()(CURLM* handle) const noexcept { curl_multi_cleanup(handle); }
};

/// A header list whose strings are wiped: one of them is the Authorization header.
class HeaderList {
  public:
    HeaderList() = default;
    HeaderList(const HeaderList&) = delete;
    HeaderList& operator=(const HeaderList&) = delete;
    ~HeaderList() {
        for (auto* item = list_; item != nullptr; item = item->next) {
            ::explicit_bzero(item->data, std::strlen(item->data));
        }
        curl_slist_free_all(list_);
    }
    bool add(const char* line) {
        auto* grown = curl_slist_append(list_, line);
        if (grown == nullptr) {
            return false;
        }
        list_ = grown;
        return true;
    }
    [[nodiscard]] curl_slist* get() const noexcept { return list_; }

  private:
    curl_slist* list_ = nullptr;
};

} // namespace slipway::prefetch::transfer
