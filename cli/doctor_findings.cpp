// SPDX-License-Identifier: Apache-2.0
// How `slipway doctor` shows what it has found.
#include "base/enum_table.hpp"
#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/doctor.hpp"

namespace slipway::cli {
namespace {

constexpr base::EnumTable verdict_names = std::array{
    base::EnumRow{Verdict::pass, "pass"},
    base::EnumRow{Verdict::warn, "warn"},
    base::EnumRow{Verdict::fail, "fail"},
};

} // namespace

std::string findings_text(const std::vector<Finding>& findings) {
    std::string text;
    for (const auto& finding : findings) {
        text += fmt::format("{:<4}  {:<15}  {}\n", verdict_names.name(finding.verdict), finding.check,
                            base::printable(finding.what));
        if (!finding.cure.empty()) {
            text += fmt::format("{:<4}  {:<15}  -> {}\n", "", "", base::printable(finding.cure));
        }
    }
    return text;
}

std::string findings_json(const std::vector<Finding>& findings) {
    auto rows = base::json::OrderedValue::array();
    for (const auto& finding : findings) {
        rows.push_back({{"verdict", verdict_names.name(finding.verdict)},
                        {"check", finding.check},
                        {"what", finding.what},
                        {"cure", finding.cure}});
    }
    return base::json::compact(rows) + "\n";
}

} // namespace slipway::cli
