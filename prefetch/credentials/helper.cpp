// SPDX-License-Identifier: Apache-2.0
#include "base/capture.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/words.hpp"
#include "prefetch/credentials/docker_config.hpp"
#include "prefetch/credentials/finder.hpp"

#include <algorithm>

#include <unistd.h>

namespace slipway::prefetch::credentials {
namespace {

using base::Code;
using base::fail;

constexpr int helper_time_ms = 30'000;
constexpr std::size_t max_answer = 64 * 1024;

bool plain_name(const std::string& name) {
    return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
        return base::is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
    });
}

std::vector<std::string> own_environment() {
    std::vector<std::string> copy;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        copy.emplace_back(*entry);
    }
    return copy;
}

base::Result<base::Captured> run_helper(const std::string& program, const std::string& server) {
    TRY_ASSIGN(auto input, base::sealed_memfd("server", server + "\n"));
    base::Child::Spawn spawn;
    spawn.program = program;
    spawn.arguments = {program, "get"};
    spawn.environment = own_environment();
    spawn.descriptors = {{input.get(), 0}};
    return base::capture_output(spawn, max_answer, base::Deadline(helper_time_ms));
}

} // namespace

base::Result<std::optional<Credential>> ask_helper(const std::string& name,
                                                   const std::string& server,
                                                   const base::Environment& environment) {
    if (!plain_name(name)) {
        return fail(Code::credentials_invalid,
                    fmt::format("{} is not the name of a credential helper", base::in_quotes(name)),
                    "correct credHelpers or credsStore in the auth file");
    }
    const auto program = base::find_in_path("docker-credential-" + name, environment("PATH"));
    if (program.empty()) {
        return fail(Code::credentials_invalid,
                    fmt::format("the credential helper docker-credential-{} is not in PATH", name),
                    "install it, or remove it from credHelpers or credsStore in the auth file");
    }
    auto result = run_helper(program, server);
    if (!result) {
        return base::Unexpected(std::move(result).error().context(
            fmt::format("credential helper {}", base::in_quotes(program))));
    }
    const base::WipeAtEnd wiping(result->output);
    if (result->exit_code() != 0) {
        if (result->output.find("not found") != std::string::npos) {
            return std::optional<Credential>();
        }
        // An answer beside a failure may hold the secret: only plain words are repeated.
        const bool words = result->output.find('{') == std::string::npos;
        return fail(Code::credentials_invalid,
                    fmt::format("the credential helper {} failed with exit code {}: {}",
                                base::in_quotes(program), result->exit_code(),
                                base::in_quotes(words ? base::trim(result->output) : "")),
                    "run it by hand, or log in again");
    }
    TRY_ASSIGN(auto credential, parse_helper_answer(result->output));
    return std::optional<Credential>(std::move(credential));
}

} // namespace slipway::prefetch::credentials
