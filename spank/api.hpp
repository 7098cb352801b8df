// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spank/options.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace slipway::spank {

/// Where Slurm has loaded the plugin (spank.8).
enum class Context {
    error,
    local,      ///< srun
    remote,     ///< slurmstepd
    allocator,  ///< sbatch, salloc
    slurmd,     ///< slurmd itself
    job_script, ///< prolog and epilog
};

/// The part of Slurm that the plugin uses, thin enough that a test can stand in for it. Valid
/// during one callback. What Slurm refuses to say is empty.
class SpankApi {
  public:
    virtual ~SpankApi() = default;

    [[nodiscard]] virtual Context context() const = 0;

    [[nodiscard]] virtual std::optional<std::uint32_t> job_id() const = 0;
    [[nodiscard]] virtual std::optional<std::uint32_t> step_id() const = 0;
    [[nodiscard]] virtual std::optional<std::uint32_t> local_tasks() const = 0; ///< on this node
    [[nodiscard]] virtual std::optional<uid_t> uid() const = 0;
    [[nodiscard]] virtual std::optional<gid_t> gid() const = 0;
    [[nodiscard]] virtual std::vector<gid_t> supplementary_groups() const = 0;
    [[nodiscard]] virtual std::vector<std::string> arguments() const = 0;

    /// Environment of the job (of the task, in a task): node side only. Nothing when it cannot be
    /// read, which says nothing about what is in it.
    [[nodiscard]] virtual std::optional<std::vector<std::string>> environment() const = 0;
    [[nodiscard]] virtual std::optional<std::string> get_env(const std::string& name) const = 0;
    virtual bool set_env(const std::string& name, const std::string& value) = 0;
    virtual void unset_env(const std::string& name) = 0;

    /// The extra environment that Slurm keeps with a job; sbatch and salloc pass it on to every
    /// srun inside as SLURM_SPANK_<name>. Only while local options are being finished (crashes
    /// elsewhere).
    virtual void set_job_control(const std::string& name, const std::string& value) = 0;
    virtual void unset_job_control(const std::string& name) = 0;

    /// One line for the log of slurmd; the user does not see it.
    virtual void log(const std::string& line) const = 0;
    /// One line for administrator and user, by Slurm's own error channel.
    virtual void log_error(const std::string& line) const = 0;
};

} // namespace slipway::spank
