// SPDX-License-Identifier: Apache-2.0
// slipway-launch step --uid U --gid G --step-fd N --parent-fd N --config PATH
//
// Started as root by the Slurm plugin, once per step and node (launcher/join/start.hpp). Reads as
// the policy it is: shed, become the user, open the site file, leave the host's privileges; only
// then anything that a user wrote.
#include "base/barrier.hpp"
#include "base/inherited_state.hpp"
#include "base/text.hpp"
#include "launcher/become_user.hpp"
#include "launcher/join/protocol.hpp"
#include "launcher/step_supervisor.hpp"

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string_view>

namespace {

using namespace slipway;
using base::Result;

struct Arguments {
    uid_t uid = 0;
    gid_t gid = 0;
    int step_fd = -1;
    int parent_fd = -1;
    std::string config;
};

std::optional<std::uint32_t> number(std::string_view text, std::uint32_t max) {
    const auto value = base::parse_u64(text, max);
    return value ? std::optional(static_cast<std::uint32_t>(*value)) : std::nullopt;
}

/// Exactly the form above: nobody types this, so anything else is a mistake.
std::optional<Arguments> parse(int argc, char** argv) {
    static constexpr std::string_view form[] = {
        "step", "--uid", "", "--gid", "", "--step-fd", "", "--parent-fd", "", "--config", ""};
    if (argc != static_cast<int>(std::size(form)) + 1) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < std::size(form); ++i) {
        if (!form[i].empty() && form[i] != argv[i + 1]) {
            return std::nullopt;
        }
    }
    const auto uid = number(argv[3], UINT32_MAX - 1);
    const auto gid = number(argv[5], UINT32_MAX - 1);
    const auto step = number(argv[7], 1023);
    const auto parent = number(argv[9], 1023);
    if (!uid || !gid || !step || !parent || *step < 3 || *parent < 3 || *step == *parent) {
        return std::nullopt;
    }
    return Arguments{*uid, *gid, static_cast<int>(*step), static_cast<int>(*parent), argv[11]};
}

Result<launcher::StepOptions> enter_step(const Arguments& arguments) {
    launcher::StepOptions options;
    TRY(launcher::shed_inheritance(arguments.step_fd, arguments.parent_fd));
    options.uid = arguments.uid;
    options.gid = arguments.gid;
    TRY(launcher::become_user(arguments.uid, arguments.gid));
    // Opened here because inside the namespace root's files look like nobody's; read later.
    const auto source = config::find_source(config::Reader::privileged, arguments.config);
    options.config_path = source.path;
    TRY_ASSIGN(options.config, config::open_source(config::Reader::privileged, source));
    TRY(launcher::leave_host_privileges());
    // Owned from here on: an error before must still find the socket open, to be sent.
    options.step.reset(arguments.step_fd);
    options.parent.reset(arguments.parent_fd);
    return options;
}

int run(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (!arguments) {
        std::fputs("slipway-launch is started by Slipway's Slurm plugin, not by hand\n", stderr);
        return static_cast<int>(base::ExitCode::usage);
    }
    auto options = enter_step(*arguments);
    if (!options) {
        (void)launcher::join::send_message(arguments->step_fd, launcher::join::MessageType::failed,
                                           launcher::join::encode(options.error()))
            .has_value();
        return 1;
    }
    return launcher::supervise_step(std::move(*options));
}

} // namespace

int main(int argc, char** argv) {
    slipway::base::repair_inherited_state();
    int code = 1;
    // Out of memory: the task notices that the launcher is gone.
    (void)base::completes([&] { code = run(argc, argv); });
    return code;
}
