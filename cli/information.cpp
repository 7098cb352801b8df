// SPDX-License-Identifier: Apache-2.0
// The verbs help, version and config.
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "cli/help.hpp"
#include "cli/messages.hpp"
#include "cli/session.hpp"
#include "cli/product.hpp"
#include "cli/version.hpp"
#include "config/schema.hpp"

#include <fcntl.h>

namespace slipway::cli {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

Result<int> config_check(const Session& session) {
    const auto& words = session.arguments.words();
    const bool named = words.size() > 1;
    if (named && !session.site_file().empty()) {
        return fail(Code::usage, "--config and FILE both name a file to check", "give one of them");
    }
    const auto reader = config::Reader::user;
    const auto source = config::find_source(reader, named ? words[1] : session.site_file());
    // A named file may be a draft of anybody's; only the one in force must be guarded already.
    base::UniqueFd file;
    if (named) {
        auto draft = config::open_draft(source.path);
        if (!draft) {
            return base::Unexpected(std::move(draft).error().with_hint("check the path"));
        }
        file = std::move(*draft);
    } else {
        TRY_ASSIGN(file, config::open_source(reader, source));
    }
    if (!file) {
        return printed(
            fmt::format("{}: not there, the built-in defaults are in force\n", source.path));
    }
    TRY_ASSIGN(const auto text, base::read_to_end(file.get(), config::max_file_bytes));
    const auto problems = config::problems(text, source.path);
    for (const auto& problem : problems) {
        print_error(problem);
    }
    if (!problems.empty()) {
        return exit_found_something;
    }
    return printed(fmt::format("{}: no mistakes\n", source.path));
}

Result<int> config_show(const Session& session) {
    TRY_ASSIGN(const auto config, config::load(config::Reader::user, session.site_file()));
    const auto origin = config.source.empty() ? std::string("built-in defaults") : config.source;
    return printed(fmt::format("# {}\n{}", base::printable(origin), config::show(config)));
}

} // namespace

Result<int> run_help(Session& session) {
    const auto& arguments = session.arguments;
    if (const auto shell = arguments.text("completion")) {
        if (!arguments.words().empty() || arguments.flag("man")) {
            return fail(Code::usage, "--completion is for all verbs and for no man page",
                        "write slipway help --completion bash");
        }
        if (*shell != "bash") {
            return fail(Code::usage, "there is no completion for " + in_quotes(*shell),
                        "bash is known");
        }
        return printed(bash_completion());
    }
    const auto name = arguments.words().empty() ? std::string() : arguments.words().front();
    if (arguments.flag("man")) {
        TRY_ASSIGN(const auto page, man_page(name.empty() ? "slipway" : name));
        return printed(page);
    }
    if (name.empty()) {
        return printed(overview_text());
    }
    if (const auto* verb = find_verb(name); verb != nullptr) {
        return printed(help_text(*verb));
    }
    return base::Unexpected(unknown_verb(name));
}

Result<int> run_version(Session& session) {
    if (session.arguments.flag("json")) {
        return printed(base::json::compact(base::json::Value{{"version", version_text}}) + "\n");
    }
    // The verb of Singularity and Apptainer prints the number alone.
    return printed((product_name() == "slipway" ? version_line() : version_number()) + "\n");
}

Result<int> run_config(Session& session) {
    const auto& what = session.arguments.words().front();
    return what == "check"  ? config_check(session)
           : what == "show" ? config_show(session)
                            : printed(config::example_file());
}

} // namespace slipway::cli
