// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/result.hpp"

#include <sys/types.h>

#include <cstdint>
#include <memory>

namespace slipway::launcher::join {

/// How far the container of one step on one node has come.
enum class StepPhase : std::uint32_t {
    none,     ///< nobody has begun
    starting, ///< a task has begun and holds the lock
    ready,    ///< the launcher answers `join`
    failed,   ///< for good; error() says why
};

/// What slurmstepd and the tasks that it forks share: a block of anonymous shared memory with a
/// process-shared robust mutex. Made in slurmstepd before the first fork. It is written by
/// processes that are still root or slurmstepd itself; the user's command never sees it (the
/// mapping ends with execve).
class StepState {
  public:
    /// Holds the mutex; unlocks when it goes.
    class Lock {
      public:
        Lock(Lock&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
        Lock& operator=(Lock&&) = delete;
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;
        ~Lock();

      private:
        friend class StepState;
        explicit Lock(StepState& state) noexcept : state_(&state) {}
        StepState* state_;
    };

    static base::Result<std::unique_ptr<StepState>> create();
    StepState(const StepState&) = delete;
    StepState& operator=(const StepState&) = delete;
    ~StepState();

    /// Waits at most that long (Code::timed_out). When the last holder died with the lock while it
    /// was starting the launcher, the phase is `failed` from now on: the protocol with that
    /// launcher is broken, and a task that was killed takes its step with it anyway.
    base::Result<Lock> lock(int timeout_ms);

    [[nodiscard]] StepPhase phase() const noexcept;
    void set_phase(StepPhase phase) noexcept;

    /// Remembers the launcher, by pid and start time, for whoever has to end it.
    void set_launcher(pid_t pid, std::uint64_t start_time) noexcept;
    [[nodiscard]] pid_t launcher_pid() const noexcept; ///< 0: none yet
    [[nodiscard]] std::uint64_t launcher_start_time() const noexcept;

    /// Phase failed, with an error whose texts are cut to fit.
    void set_failed(const base::Error& error) noexcept;
    [[nodiscard]] base::Error error() const;

    /// True for exactly one caller among all tasks: the one that prints the error of this step on
    /// this node.
    bool claim_message() noexcept;
    bool claim_warning() noexcept; ///< the same for warnings

  private:
    struct Block;
    explicit StepState(Block* block) noexcept : block_(block) {}
    Block* block_;
};

} // namespace slipway::launcher::join
