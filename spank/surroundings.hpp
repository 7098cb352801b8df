// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/join/start.hpp"
#include "launcher/join/step_state.hpp"
#include "spank/arguments.hpp"

#include <optional>
#include <string>

namespace slipway::spank {

/// What staging says about a reference: where its image is, and what to call it from now on.
struct Staged {
    std::string image_id; ///< the node looks it up in the store
    std::string store;    ///< root of the user's own store; empty: the site's
    std::string pinned;   ///< reference with digest; what sruns inside and requeued jobs use
};

/// sbatch does not wait for the image: it is enough to know what it will be.
enum class Staging : std::uint8_t { wait, begin };

/// What the plugin does to the process and the machine around it, so that a test can stand in.
class Surroundings {
  public:
    virtual ~Surroundings() = default;

    // srun, sbatch, salloc: this very process.
    [[nodiscard]] virtual std::optional<std::string> get_env(const std::string& name) const = 0;
    virtual void set_env(const std::string& name, const std::string& value) = 0;
    virtual void unset_env(const std::string& name) = 0;
    /// Runs the staging client and waits for it; its progress goes to stderr. Code::not_staged with
    /// an empty message when it has failed and said why itself.
    virtual base::Result<Staged> stage(const Arguments& arguments, const std::string& reference,
                                       Staging how) = 0;
    /// This process hands a job in and ends (sbatch), rather than waiting for it (srun, salloc).
    [[nodiscard]] virtual bool only_submits() const = 0;

    [[nodiscard]] virtual std::string current_directory() const = 0; ///< empty when there is none
    [[nodiscard]] virtual bool is_regular_file(const std::string& path) const = 0;
    /// "slipway: <line>" on stderr, in one write.
    virtual void report(const std::string& line) = 0;
    /// Ends this process at once, without the exit handlers of the program that the plugin is in.
    [[noreturn]] virtual void leave(int exit_code) = 0;

    // Node side.
    [[nodiscard]] virtual std::string node_name() const = 0;
    /// Absolute path of a launcher that root may run.
    virtual base::Result<std::string> launcher_path(const Arguments& arguments) const = 0;
    virtual base::Result<base::UniqueFd> own_pidfd() const = 0;
    virtual base::Result<launcher::join::JoinHandles>
    start(const launcher::join::StartFacts& facts, const launcher::join::Request& request,
          const std::function<void(std::string_view)>& warn,
          const launcher::join::LauncherStarted& started) = 0;
    virtual base::Result<launcher::join::JoinHandles> join(int task_socket, pid_t launcher,
                                                     int timeout_ms) = 0;
    virtual base::Result<void> enter(const launcher::join::JoinHandles& handles,
                                     const std::function<void(std::string_view)>& warn) = 0;
    virtual base::Result<void> stop(pid_t launcher, std::uint64_t start_time, int timeout_ms) = 0;
    /// 0 when this file can be run; ENOENT when it is not to be seen, EACCES when it is no program.
    [[nodiscard]] virtual int can_run(const std::string& path) const = 0;
};

/// The real ones.
Surroundings& real_surroundings() noexcept;

/// Name of the staging client, next to the launcher.
inline constexpr const char* stage_client = "slipway-stagec";

/// What the staging client prints: lines `id=…`, `store=…` where that is not the site's, and
/// `pinned=…`. All are checked.
base::Result<Staged> parse_stage_answer(std::string_view text);

/// Runs `program [--config FILE] [--detach] REFERENCE` with this process's environment, stdin from
/// /dev/null and stderr passed through. The client gets SIGTERM when this process dies, and the
/// terminal's signals by itself, because it stays in the same process group. An empty config is not
/// passed on. Code::interrupted when a signal has ended the client, or waits for this process.
base::Result<Staged> run_stage_client(const std::string& program, const std::string& config,
                                      const std::string& reference, Staging how);

} // namespace slipway::spank
