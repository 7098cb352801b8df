// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/step_state.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::size_t max_text = 1500;

void copy_text(char (&target)[max_text], const std::string& text) noexcept {
    const auto length = std::min(text.size(), max_text - 1);
    std::memcpy(target, text.data(), length);
    target[length] = '\0';
}

Error starter_died() {
    return {Code::launcher_failed, 0, "a task was killed while it was starting the container",
            "look for the reason in the job's and the node's log (out of memory? cancelled?)"};
}

} // namespace

/// Lives in shared memory: no pointers, and nothing whose destructor matters.
struct StepState::Block {
    pthread_mutex_t mutex;
    std::atomic<std::uint32_t> phase;
    std::atomic<std::int32_t> launcher_pid;
    std::atomic<std::uint64_t> launcher_start_time;
    std::atomic<std::uint32_t> message_claimed;
    std::atomic<std::uint32_t> warning_claimed;
    // Written under the lock, before the phase says `failed`.
    std::uint32_t error_code;
    std::int32_t error_errno;
    char message[max_text];
    char hint[max_text];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

StepState::Lock::~Lock() {
    if (state_ != nullptr) {
        pthread_mutex_unlock(&state_->block_->mutex);
    }
}

Result<std::unique_ptr<StepState>> StepState::create() {
    void* memory =
        ::mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return base::fail_errno(Code::system, errno, "cannot map shared memory");
    }
    auto* block = new (memory) Block{};
    std::unique_ptr<StepState> state(new StepState(block));
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    const int err = pthread_mutex_init(&block->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (err != 0) {
        return base::fail_errno(Code::system, err, "cannot make a shared lock");
    }
    return state;
}

StepState::~StepState() {
    ::munmap(block_, sizeof(Block));
}

Result<StepState::Lock> StepState::lock(int timeout_ms) {
    timespec until{};
    ::clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += static_cast<long>(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        ++until.tv_sec;
    }
    const int err = pthread_mutex_clocklock(&block_->mutex, CLOCK_MONOTONIC, &until);
    if (err == EOWNERDEAD) {
        pthread_mutex_consistent(&block_->mutex);
        if (phase() == StepPhase::starting) {
            set_failed(starter_died());
        }
    } else if (err == ETIMEDOUT) {
        return base::fail(Code::timed_out,
                          "another task of this node is still starting the container",
                          "try again; the file system that holds the image may be slow");
    } else if (err != 0) {
        return base::fail_errno(Code::system, err, "cannot take the lock of the step");
    }
    return Lock(*this);
}

StepPhase StepState::phase() const noexcept {
    return static_cast<StepPhase>(block_->phase.load());
}

void StepState::set_phase(StepPhase phase) noexcept {
    block_->phase.store(static_cast<std::uint32_t>(phase));
}

void StepState::set_launcher(pid_t pid, std::uint64_t start_time) noexcept {
    block_->launcher_start_time.store(start_time);
    block_->launcher_pid.store(pid);
}

pid_t StepState::launcher_pid() const noexcept {
    return block_->launcher_pid.load();
}

std::uint64_t StepState::launcher_start_time() const noexcept {
    return block_->launcher_start_time.load();
}

void StepState::set_failed(const Error& error) noexcept {
    block_->error_code = static_cast<std::uint32_t>(error.code);
    block_->error_errno = error.sys_errno;
    copy_text(block_->message, error.message);
    copy_text(block_->hint, error.hint);
    set_phase(StepPhase::failed);
}

Error StepState::error() const {
    return {static_cast<Code>(block_->error_code), block_->error_errno, block_->message,
            block_->hint};
}

bool StepState::claim_message() noexcept {
    return block_->message_claimed.exchange(1) == 0;
}

bool StepState::claim_warning() noexcept {
    return block_->warning_claimed.exchange(1) == 0;
}

} // namespace slipway::launcher::join
