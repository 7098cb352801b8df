// SPDX-License-Identifier: Apache-2.0
// slipway-images: the verbs of `slipway` that need the network, the converter or the store.
#include "base/format.hpp"
#include "base/inherited_state.hpp"
#include "cli/product.hpp"
#include "cli/program.hpp"

#include <sys/prctl.h>

namespace {

using namespace slipway;
using namespace slipway::cli;

base::Result<int> run(const std::vector<std::string>& words) {
    const auto* verb = words.empty() ? nullptr : find_verb(words.front());
    if (verb == nullptr || verb->program != Program::images) {
        std::string names;
        for (const auto& each : verbs()) {
            if (each.program == Program::images) {
                names += (names.empty() ? "" : ", ") + std::string(each.name);
            }
        }
        return base::fail(base::Code::usage, "slipway-images is a part of slipway",
                          fmt::format("it does the verbs {}; use slipway VERB", names));
    }
    return call_verb(*verb, std::span(words).subspan(1), Arguments());
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::repair_inherited_state();
    set_product_name(argc > 0 ? argv[0] : ""); // as slipway was called
    // Registry credentials may be in memory: no core dumps, no ptrace by the user's other programs.
    ::prctl(PR_SET_DUMPABLE, 0);
    return run_program([&] { return run({argv + (argc > 0 ? 1 : 0), argv + argc}); });
}
