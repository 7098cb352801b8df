// SPDX-License-Identifier: Apache-2.0
// The plugin in slurmstepd, before any task exists. Everything runs as root or with root in reach,
// and everything that came from the user is treated as hostile: a variable set by hand reaches this
// side without the checks of the other.
#include "spank/plugin.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace slipway::spank {
namespace {

using base::Code;
using base::Result;

constexpr int stop_timeout_ms = 2000;

} // namespace

int Plugin::finish_remote(SpankApi& api) {
    if (api.step_id() == extern_step) {
        return 0;
    }
    auto asked = asked_for(api);
    if (asked && !*asked) {
        return 0;
    }
    container_requested_ = true;
    auto prepared = prepare_step(api, std::move(asked));
    if (!prepared) {
        remember(std::move(prepared).error());
    }
    return 0;
}

/// What this step runs in; nothing for the host. An error means that a container was asked for, or
/// that this cannot be found out, which counts as the same.
Result<std::optional<Settings>> Plugin::asked_for(SpankApi& api) {
    const std::optional<Settings> none;
    const auto environment = api.environment();
    if (!environment) {
        return base::fail(Code::system, "Slurm does not say what is in the job's environment",
                          "whether the job asks for a container is written there; see the log of "
                          "slurmd");
    }
    const auto step = api.step_id();
    const auto carrier = api.get_env(carrier_variable);
    const bool host_side_step = step == batch_step || step == interactive_step;
    if (!carrier && host_side_step) {
        take_inherited(api);
    }
    clean_environment(api, *environment);
    if (carrier ? *carrier == carrier_no_container : !options_.any_given()) {
        return none;
    }
    if (!step) {
        return base::fail(Code::system, "Slurm does not say which step of the job this is",
                          "see the log of slurmd");
    }
    auto settings = carrier ? decode_settings(*carrier) : settings_without_srun();
    const auto batch = settings ? settings->batch : Switch::site_default;
    if (host_side_step && (settings || !carrier) && stays_on_host(batch)) {
        return none;
    }
    if (settings && !settings->wants_container()) {
        return none;
    }
    TRY(settings);
    return std::optional(std::move(*settings));
}

/// Without a carrier, only Slurm's option variables are there: set by hand, or by a release that
/// drops other variables.
Result<Settings> Plugin::settings_without_srun() const {
    TRY_ASSIGN(auto settings, options_.settings(arguments_.option_prefix));
    if (options_.given(OptionId::image)) {
        if (settings.wants_container()) {
            TRY(check_image_path(settings.image));
            settings.path = settings.image;
        }
        return settings;
    }
    return base::fail(Code::option_conflict, "container options reached the node without an image",
                      "give --" + name_of(OptionId::image) +
                          " to srun or sbatch, and set no _SLURM_SPANK_OPTION_ variables by hand");
}

/// `sbatch --export=NONE` and `--export-file` drop all variables but SLURM_*, and with them the
/// options of the batch step; what sruns inside inherit is still there.
void Plugin::take_inherited(const SpankApi& api) {
    for (const auto& row : option_table) {
        const auto value = api.get_env(inherited_variable(name_of(row.id)));
        if (value && !options_.given(row.id)) {
            options_.take(row.id, value->c_str());
        }
    }
}

/// The batch script and salloc's shell stay outside unless somebody wants them inside; every srun
/// in them has the container all the same.
bool Plugin::stays_on_host(Switch batch) const {
    if (batch == Switch::site_default) {
        batch = options_.value(OptionId::batch) == "on" ? Switch::on : arguments_.batch;
    }
    return batch != Switch::on;
}

/// What must not reach tasks: an srun inside would take it for options of its own.
void Plugin::clean_environment(SpankApi& api, const std::vector<std::string>& environment) const {
    for (const auto& entry : environment) {
        const auto name = entry.substr(0, entry.find('='));
        if (name == carrier_variable || name.starts_with(slurm_option_variable_prefix)) {
            api.unset_env(name);
        }
    }
}

Result<void> Plugin::prepare_step(const SpankApi& api, Result<std::optional<Settings>> asked) {
    // First, so that all errors are printed by one task only.
    TRY_ASSIGN(state_, launcher::join::StepState::create());
    if (failure_) {
        return base::Unexpected(*failure_);
    }
    Step step;
    TRY_ASSIGN(auto settings, std::move(asked));
    step.settings = std::move(*settings);
    TRY_ASSIGN(step.facts.launcher_path, around_.launcher_path(arguments_));
    step.facts.config_path = arguments_.config;
    const auto uid = api.uid();
    const auto gid = api.gid();
    if (!uid || !gid) {
        return base::fail(Code::system, "Slurm does not say whose job this is");
    }
    step.facts.uid = *uid;
    step.facts.gid = *gid;
    step.facts.groups = api.supplementary_groups();
    step.job_id = api.job_id().value_or(0);
    step.step_id = api.step_id().value_or(0);
    TRY_ASSIGN(auto ends, base::packet_pair());
    step.task_socket = std::move(ends.first);
    step.launcher_socket = std::move(ends.second);
    const int on = 1;
    if (::setsockopt(step.task_socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
        return base::fail_errno(Code::system, errno, "cannot set up the step socket");
    }
    TRY_ASSIGN(step.stepd_pidfd, around_.own_pidfd());
    step.facts.task_socket = step.task_socket.get();
    step.facts.launcher_socket = step.launcher_socket.get();
    step.facts.stepd_pidfd = step.stepd_pidfd.get();
    step_ = std::move(step);
    return {};
}

int Plugin::user_init() {
    // The first callback in the job's working directory; a job container moves tasks to "/" later.
    if (step_) {
        step_->cwd = around_.current_directory();
    }
    return 0;
}

/// After the last task, not in exit(): Slurm removes the step's cgroups in between, and a launcher
/// that is still in them would make it fail and leave them behind for ever.
int Plugin::task_exit(SpankApi& api) {
    if (step_ && ++tasks_ended_ == api.local_tasks()) {
        stop_container(api);
    }
    return 0;
}

/// For a step that ended before all of its tasks had begun.
int Plugin::exit(SpankApi& api) {
    if (step_) {
        stop_container(api);
    }
    return 0;
}

void Plugin::stop_container(const SpankApi& api) {
    if (state_->launcher_pid() == 0) {
        return;
    }
    const auto stopped =
        around_.stop(state_->launcher_pid(), state_->launcher_start_time(), stop_timeout_ms);
    if (stopped) {
        state_->set_launcher(0, 0);
    } else {
        api.log_error("slipway: " + stopped.error().one_line());
    }
}

} // namespace slipway::spank
