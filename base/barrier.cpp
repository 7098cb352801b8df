// SPDX-License-Identifier: Apache-2.0
#include "base/barrier.hpp"

#include <new>
#include <system_error>

namespace slipway::base {

Error error_of(const std::exception& thrown) {
    if (dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr) {
        return {Code::system, ENOMEM, "out of memory", "free some, or raise the limit"};
    }
    const auto* from_system = dynamic_cast<const std::system_error*>(&thrown);
    if (from_system != nullptr && from_system->code() == std::errc::resource_unavailable_try_again) {
        return {Code::system, EAGAIN, "cannot start a thread: too many processes",
                "end some of them, or raise the limit (ulimit -u)"};
    }
    return {Code::internal, 0, thrown.what(), "report this as an error of Slipway"};
}

} // namespace slipway::base
