// SPDX-License-Identifier: Apache-2.0
#include "base/process.hpp"

#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"

namespace slipway::base {

Result<ProcessFacts> process_facts(pid_t pid) {
    TRY_ASSIGN(const auto text, read_file(fmt::format("/proc/{}/stat", pid), 4096));
    // The second field is the command in parentheses and may hold blanks and parentheses itself.
    const auto end_of_name = text.rfind(')');
    if (end_of_name == std::string::npos || end_of_name + 2 >= text.size()) {
        return fail(Code::system, fmt::format("/proc/{}/stat is not as expected", pid));
    }
    const auto fields = split(std::string_view(text).substr(end_of_name + 2), ' ');
    constexpr std::size_t start_field = 22 - 3; // proc(5) counts from 1; the first one here is 3
    if (fields.size() <= start_field || fields[0].size() != 1) {
        return fail(Code::system, fmt::format("/proc/{}/stat is not as expected", pid));
    }
    TRY_ASSIGN(const auto start, parse_u64(fields[start_field]));
    return ProcessFacts{fields[0][0], start};
}

Result<std::uint64_t> process_start_time(pid_t pid) {
    TRY_ASSIGN(const auto facts, process_facts(pid));
    return facts.start_time;
}

} // namespace slipway::base
