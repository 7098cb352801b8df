// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spank/api.hpp"
#include "spank/surroundings.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace slipway::spank {

/// Everything about one step on one node, made in slurmstepd and inherited by its tasks.
struct Step {
    Settings settings;
    launcher::join::StartFacts facts;
    base::UniqueFd task_socket;
    base::UniqueFd launcher_socket;
    base::UniqueFd stepd_pidfd;
    std::string cwd;
    std::uint32_t job_id = 0;
    std::uint32_t step_id = 0;
};

/// The plugin, one object per process (and, by fork, per task). Every callback gives Slurm's return
/// value. On the node side that is always 0: what fails before a task exists would drain the node,
/// be ignored, or hang srun, depending on callback and release. The error is kept, and the task
/// itself ends in task_init with a message, so that nothing ever runs outside the container that
/// asked for one; not even where plugstack.conf says `optional`. On the submitting side an error
/// ends the program before anything is submitted, for the same reason.
class Plugin {
  public:
    explicit Plugin(Surroundings& around) noexcept : around_(around) {}

    /// What plugstack.conf says; again and again the same, before each init_post_opt().
    void configure(std::span<char* const> arguments);
    /// One of the options, by its number in the table; may come before configure().
    void option(int value, const char* argument);
    /// A component of this heterogeneous job has no container.
    void plain_component() { published_ = ""; }
    int init_post_opt(SpankApi& api);
    int user_init();
    int task_init_privileged(SpankApi& api);
    int task_init(SpankApi& api);
    int task_exit(SpankApi& api);
    int exit(SpankApi& api);

    /// Keeps the first error of this process; used for exceptions, too.
    void remember(base::Error error);

  private:
    // local.cpp
    int finish_local(SpankApi& api);
    base::Result<void> hand_on(SpankApi& api);
    void take_variables();
    void take_variables_of(const char* prefix);
    base::Result<Settings> local_settings(const SpankApi& api);
    base::Result<void> resolve_image(Settings& settings);
    base::Result<void> refuse_orphans(const SpankApi& api) const;
    base::Result<void> refuse_contradiction() const;
    base::Result<void> refuse_batch(const SpankApi& api, Switch batch) const;
    [[nodiscard]] bool is_inherited(OptionId id) const;
    void forget_credentials(const std::vector<std::string>& wanted);
    void publish(SpankApi& api, const Settings& settings);
    [[nodiscard]] std::string name_of(OptionId id) const;
    [[nodiscard]] std::string source_of(OptionId id) const; ///< the option or variable that was used

    // remote.cpp
    int finish_remote(SpankApi& api);
    base::Result<std::optional<Settings>> asked_for(SpankApi& api);
    [[nodiscard]] base::Result<Settings> settings_without_srun() const;
    void take_inherited(const SpankApi& api);
    base::Result<void> prepare_step(const SpankApi& api,
                                    base::Result<std::optional<Settings>> asked);
    void clean_environment(SpankApi& api, const std::vector<std::string>& environment) const;
    void stop_container(const SpankApi& api);
    [[nodiscard]] bool stays_on_host(Switch batch) const;

    // task.cpp
    base::Result<void> obtain_container(SpankApi& api);
    base::Result<launcher::join::JoinHandles> start_container(SpankApi& api);
    base::Result<launcher::join::Request> make_request(const SpankApi& api) const;
    base::Result<void> enter_container(SpankApi& api);
    void explain_missing_command(const SpankApi& api);
    void fail_task(const SpankApi& api);

    Surroundings& around_;
    Arguments arguments_;
    std::optional<base::Error> failure_;
    Options options_;
    /// Set once the local side is finished: encoded settings, "" for no container. All components
    /// of a heterogeneous job must come to the same.
    std::optional<std::string> published_;
    std::optional<Staged> staged_;
    std::string staged_reference_;

    bool container_requested_ = false; ///< node side: this step runs in a container or not at all
    std::unique_ptr<launcher::join::StepState> state_;
    std::optional<Step> step_;
    std::uint32_t tasks_ended_ = 0;
    std::optional<launcher::join::JoinHandles> handles_;
    std::vector<std::string> warnings_;
};

} // namespace slipway::spank
