// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/budget.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

Result<void> Budget::take(std::uint64_t bytes) {
    if ((used_ += bytes) > bytes_) {
        return fail(Code::limit_exceeded,
                    fmt::format("the names, attributes and files of the image need more than {} of "
                                "memory",
                                base::size_text(bytes_)),
                    "raise convert.memory if you trust the image");
    }
    return {};
}

Result<void> Budget::check_nodes(std::uint64_t count) const {
    if (count > nodes_) {
        return fail(Code::limit_exceeded,
                    fmt::format("the image has more than {} files and directories", nodes_),
                    "ask for a higher limit (limits.entries)");
    }
    return {};
}

Result<Budget::Hold> Budget::hold(std::uint64_t bytes) {
    Hold held(*this, bytes);
    TRY(take(bytes));
    return held;
}

} // namespace slipway::prefetch::convert
