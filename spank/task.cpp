// SPDX-License-Identifier: Apache-2.0
// The plugin in a task: a fork of slurmstepd with one thread, root at first and the user in
// task_init.
#include "base/format.hpp"
#include "base/text.hpp"
#include "spank/plugin.hpp"

#include <cerrno>

namespace slipway::spank {
namespace {

using base::Code;
using base::Error;
using base::Result;

/// Longer than a start may take, so that tasks hear the starter's error and not their own time-out.
constexpr int lock_margin_ms = 10000;

/// srun --multi-prog: the arguments are the configuration file's name and its text, and every task
/// has a command of its own that Slurm does not name.
bool is_multi_prog(const std::vector<std::string>& arguments) {
    return arguments.size() >= 2 && arguments[1].find('\n') != std::string::npos;
}

/// Where Slurm would look for the command, in its order: absolute, relative to the directory if it
/// begins with a dot, else PATH, else relative.
std::vector<std::string> candidates(const std::string& command, const std::string& path) {
    std::vector<std::string> list;
    if (command.front() != '/' && command.front() != '.') {
        for (const auto directory : base::split(path, ':')) {
            if (!directory.empty()) {
                list.push_back(std::string(directory) + "/" + command);
            }
        }
    }
    list.push_back(command);
    return list;
}

} // namespace

int Plugin::task_init_privileged(SpankApi& api) {
    if (!container_requested_ || failure_) {
        return 0;
    }
    auto obtained = obtain_container(api);
    if (!obtained) {
        remember(std::move(obtained).error());
    }
    return 0;
}

/// The first task that gets the lock starts the launcher, the others ask it.
Result<void> Plugin::obtain_container(SpankApi& api) {
    if (!step_ || !state_) {
        return base::fail(Code::internal, "the step was not prepared");
    }
    TRY_ASSIGN(const auto lock, state_->lock(step_->facts.timeout_ms + lock_margin_ms));
    switch (state_->phase()) {
    case launcher::join::StepPhase::none: {
        state_->set_phase(launcher::join::StepPhase::starting);
        auto handles = start_container(api);
        if (!handles) {
            state_->set_failed(handles.error());
            return base::Unexpected(std::move(handles).error());
        }
        state_->set_phase(launcher::join::StepPhase::ready);
        handles_ = std::move(*handles);
        return {};
    }
    case launcher::join::StepPhase::ready: {
        TRY_ASSIGN(handles_, around_.join(step_->facts.task_socket, state_->launcher_pid(),
                                          step_->facts.timeout_ms));
        return {};
    }
    case launcher::join::StepPhase::failed:
        return base::Unexpected(state_->error());
    case launcher::join::StepPhase::starting:
        break;
    }
    return base::fail(Code::internal, "starting the container was stopped half-way");
}

Result<launcher::join::JoinHandles> Plugin::start_container(SpankApi& api) {
    TRY_ASSIGN(const auto request, make_request(api));
    const auto warn = [this](std::string_view text) { warnings_.emplace_back(text); };
    const auto started = [this](pid_t pid, std::uint64_t start_time) {
        state_->set_launcher(pid, start_time);
    };
    return around_.start(step_->facts, request, warn, started);
}

Result<launcher::join::Request> Plugin::make_request(const SpankApi& api) const {
    const auto& settings = step_->settings;
    launcher::join::Request request;
    request.image = settings.path;
    request.image_id = settings.image_id;
    request.image_store = settings.image_store;
    request.reference = settings.image;
    if (!settings.mounts.empty()) {
        request.mounts.push_back({launcher::join::MountSyntax::pyxis, settings.mounts});
    }
    request.workdir = settings.workdir;
    request.cwd = step_->cwd.empty() ? "/" : step_->cwd;
    request.mount_home = settings.mount_home;
    request.writable = settings.writable;
    request.keep_environment = settings.environment;
    auto environment = api.environment();
    if (!environment) {
        return base::fail(Code::system, "Slurm does not say what is in the task's environment",
                          "see the log of slurmd");
    }
    request.environment = std::move(*environment);
    request.hostname_text = around_.node_name();
    request.job_id = step_->job_id;
    request.step_id = step_->step_id;
    if (step_->step_id == batch_step) {
        const auto arguments = api.arguments();
        if (arguments.empty() || !arguments.front().starts_with('/')) {
            return base::fail(Code::system, "Slurm does not say where the batch script is",
                              "leave --container-batch out and use srun in the script");
        }
        request.required_files.push_back(arguments.front());
    }
    return request;
}

int Plugin::task_init(SpankApi& api) {
    if (!container_requested_) {
        return 0;
    }
    if (!failure_) {
        auto entered = enter_container(api);
        if (!entered) {
            remember(std::move(entered).error());
        }
    }
    if (failure_) {
        fail_task(api);
    }
    return 0;
}

Result<void> Plugin::enter_container(SpankApi& api) {
    if (!handles_) {
        return base::fail(Code::internal, "the task has no container to enter");
    }
    for (const auto& warning : warnings_) {
        around_.report("warning: " + warning);
    }
    TRY(around_.enter(*handles_, [this](std::string_view text) {
        if (state_->claim_warning()) {
            around_.report("warning: " + std::string(text));
        }
    }));
    for (const auto& change : handles_->record.environment) {
        if (!change.value) {
            api.unset_env(change.name);
        } else if (!api.set_env(change.name, *change.value)) {
            return base::fail(Code::system,
                              "cannot set the variable " + base::in_quotes(change.name));
        }
    }
    explain_missing_command(api);
    handles_.reset();
    return {};
}

/// Slurm is about to say "execve(): x: No such file or directory" and to give the right exit code;
/// this adds where it was looked for, which is not where the user typed the command. It decides
/// nothing: a TaskProlog may still change PATH.
void Plugin::explain_missing_command(const SpankApi& api) {
    const auto arguments = api.arguments();
    if (arguments.empty() || arguments.front().empty() || arguments.front().ends_with('/') ||
        is_multi_prog(arguments)) {
        return;
    }
    const auto& command = arguments.front();
    const auto path = api.get_env("PATH").value_or("");
    int err = ENOENT;
    for (const auto& candidate : candidates(command, path)) {
        const int result = around_.can_run(candidate);
        if (result == 0) {
            return;
        }
        err = result == EACCES ? EACCES : err;
    }
    if (!state_->claim_message()) {
        return;
    }
    const auto& image = handles_->record.image_name;
    auto error =
        err == EACCES
            ? Error{Code::command_not_found, err,
                    fmt::format("{} in the container {} cannot be executed",
                                base::in_quotes(command), base::in_quotes(image)),
                    "check its permissions, and that its directory is not mounted noexec"}
            : Error{Code::command_not_found, err,
                    fmt::format("there is no {} in the container {} (PATH there: {})",
                                base::in_quotes(command), base::in_quotes(image),
                                base::printable(path.substr(0, 400))),
                    "check the spelling, or mount the program's directory with --container-mounts"};
    around_.report("error: " + error.one_line());
}

/// Exits instead of returning -1: Slurm would run the command on the host where plugstack.conf says
/// `optional`, and would print three more lines per task where it says `required`.
void Plugin::fail_task(const SpankApi& api) {
    const auto line = failure_->one_line();
    if (!state_ || state_->claim_message()) {
        around_.report("error: " + line);
        api.log("slipway: " + line);
    }
    around_.leave(set_up_failed);
}

} // namespace slipway::spank
