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

Result<void> at_most(const Session& session, std::size_t words) {
    const auto& given = session.arguments.words();
    if (given.size() > words) {
        return fail(Code::usage, "unexpected argument " + in_quotes(given[words]),
                    "see the verb's --help");
    }
    return {};
}

Result<int> config_check(const Session& session) {
    TRY(at_most(session, 2));
    const auto& words = session.arguments.words();
    const bool named = words.size() > 1;
    const auto reader = config::Reader::user;
    const auto source = config::find_source(reader, named ? words[1] : session.site_file());
    // A named file may be a draft of anybody's; only the one in force must be guarded already.
    base::UniqueFd file;
    if (named) {
        TRY_ASSIGN(file, config::open_draft(source.path));
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
        return static_cast<int>(base::ExitCode::setup);
    }
    return printed(fmt::format("{}: no mistakes\n", source.path));
}

Result<int> config_show(const Session& session) {
    TRY(at_most(session, 1));
    TRY_ASSIGN(const auto config, config::load(config::Reader::user, session.site_file()));
    const auto origin = config.source.empty() ? std::string("built-in defaults") : config.source;
    return printed(fmt::format("# {}\n{}", base::printable(origin), config::show(config)));
}

} // namespace

Result<int> run_help(Session& session) {
    TRY(at_most(session, 1));
    const auto& arguments = session.arguments;
    if (const auto shell = arguments.text("completion")) {
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
    return fail(Code::usage, "unknown verb " + in_quotes(name), "slipway help lists the verbs");
}

Result<int> run_version(Session& session) {
    TRY(at_most(session, 0));
    if (session.arguments.flag("json")) {
        return printed(base::json::compact(base::json::Value{{"version", version_text}}) + "\n");
    }
    // The verb of Singularity and Apptainer prints the number alone.
    return printed((product_name() == "slipway" ? version_line() : version_number()) + "\n");
}

Result<int> run_config(Session& session) {
    const auto& words = session.arguments.words();
    const auto what = words.empty() ? std::string() : words.front();
    if (what == "check") {
        return config_check(session);
    }
    if (what == "show") {
        return config_show(session);
    }
    if (what == "example") {
        TRY(at_most(session, 1));
        return printed(config::example_file());
    }
    return fail(Code::usage,
                what.empty() ? "config needs a word: check, show or example"
                             : "config does not know " + in_quotes(what),
                "write config check, config show or config example");
}

} // namespace slipway::cli
