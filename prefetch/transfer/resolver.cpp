// SPDX-License-Identifier: Apache-2.0
#include "prefetch/transfer/resolver.hpp"

#include <netdb.h>
#include <sys/socket.h>

namespace slipway::prefetch::transfer {

bool may_resolve_later(const std::string& host) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int answer = ::getaddrinfo(host.c_str(), nullptr, &wanted, &found);
    if (answer == 0) {
        ::freeaddrinfo(found);
    }
    return answer != EAI_NONAME && answer != EAI_NODATA && answer != EAI_FAIL;
}

} // namespace slipway::prefetch::transfer
