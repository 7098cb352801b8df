// SPDX-License-Identifier: Apache-2.0
#include "base/result.hpp"

#include "base/text.hpp"

#include <array>
#include <cstring>

namespace slipway::base {
namespace {

struct CodeRow {
    Code code;
    std::string_view text;
};

constexpr CodeRow code_table[] = {
#define SLIPWAY_X(name, text) {Code::name, text},
    SLIPWAY_ERROR_CODES(SLIPWAY_X)
#undef SLIPWAY_X
};

} // namespace

std::string_view code_name(Code code) noexcept {
    const auto index = static_cast<std::size_t>(code);
    return index < std::size(code_table) ? code_table[index].text : "internal";
}

Code code_from_name(std::string_view name) noexcept {
    for (const auto& row : code_table) {
        if (row.text == name) {
            return row.code;
        }
    }
    return Code::internal;
}

ExitCode exit_code_for(Code code) noexcept {
    return code == Code::usage ? ExitCode::usage : ExitCode::setup;
}

Error&& Error::context(std::string_view what) && {
    message.insert(0, ": ");
    message.insert(0, what);
    return std::move(*this);
}

Error&& Error::with_hint(std::string text) && {
    hint = std::move(text);
    return std::move(*this);
}

std::string Error::one_line() const {
    std::string line(code_name(code));
    line += ": ";
    line += message;
    if (!hint.empty()) {
        line += " (hint: ";
        line += hint;
        line += ')';
    }
    return printable(line);
}

Unexpected fail(Code code, std::string message, std::string hint) {
    return Unexpected(Error{code, 0, std::move(message), std::move(hint)});
}

Unexpected fail_errno(Code code, int err, std::string message, std::string hint) {
    message += ": ";
    message += errno_text(err);
    return Unexpected(Error{code, err, std::move(message), std::move(hint)});
}

std::string errno_text(int err) {
    std::array<char, 128> buffer{};
    return strerror_r(err, buffer.data(), buffer.size()); // the GNU form: returns the text
}

} // namespace slipway::base
