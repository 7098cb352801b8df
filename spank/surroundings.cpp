// SPDX-License-Identifier: Apache-2.0
#include "spank/surroundings.hpp"

#include "base/child.hpp"
#include "base/path.hpp"
#include "base/text.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace slipway::spank {
namespace {

using base::Result;

class RealSurroundings final : public Surroundings {
  public:
    std::optional<std::string> get_env(const std::string& name) const override {
        const char* value = ::getenv(name.c_str());
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
    }
    void set_env(const std::string& name, const std::string& value) override {
        ::setenv(name.c_str(), value.c_str(), 1);
    }
    void unset_env(const std::string& name) override { ::unsetenv(name.c_str()); }

    Result<Staged> stage(const Arguments& arguments, const std::string& reference,
                         Staging how) override {
        return run_stage_client(find_program(arguments, stage_client), arguments.config, reference,
                                how);
    }

    bool only_submits() const override {
        // Slurm tells plugins only that this is an allocator, which salloc is, too.
        return std::string_view(program_invocation_short_name) == "sbatch";
    }

    std::string current_directory() const override {
        return base::current_directory().value_or("");
    }

    bool is_regular_file(const std::string& path) const override {
        struct stat about {};
        return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode);
    }

    void report(const std::string& line) override {
        const auto text = "slipway: " + base::printable(line) + "\n";
        // Nothing is left to do when even stderr cannot be written.
        (void)base::write_all(STDERR_FILENO, text);
    }

    void leave(int exit_code) override { ::_exit(exit_code); }

    std::string node_name() const override {
        std::array<char, HOST_NAME_MAX + 1> name{};
        return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
    }

    Result<std::string> launcher_path(const Arguments& arguments) const override {
        auto path = find_program(arguments, "slipway-launch");
        TRY(check_root_program(path));
        return path;
    }

    Result<base::UniqueFd> own_pidfd() const override { return base::open_pidfd(::getpid()); }

    Result<launcher::join::JoinHandles> start(const launcher::join::StartFacts& facts,
                                        const launcher::join::Request& request,
                                        const std::function<void(std::string_view)>& warn,
                                        const launcher::join::LauncherStarted& started) override {
        return launcher::join::start_launcher(facts, request, warn, started);
    }
    Result<launcher::join::JoinHandles> join(int task_socket, pid_t launcher, int timeout_ms) override {
        return launcher::join::ask_to_join(task_socket, launcher, timeout_ms);
    }
    Result<void> enter(const launcher::join::JoinHandles& handles,
                       const std::function<void(std::string_view)>& warn) override {
        return launcher::join::enter(handles, warn);
    }
    Result<void> stop(pid_t launcher, std::uint64_t start_time, int timeout_ms) override {
        return launcher::join::stop_process(launcher, start_time, timeout_ms);
    }

    int can_run(const std::string& path) const override {
        struct stat about {};
        if (::stat(path.c_str(), &about) != 0) {
            return ENOENT; // also where a directory of PATH may not be searched
        }
        return S_ISREG(about.st_mode) && ::access(path.c_str(), X_OK) == 0 ? 0 : EACCES;
    }
};

} // namespace

Surroundings& real_surroundings() noexcept {
    // Never destroyed: the plugin may be unloaded at any time, and has no exit handlers.
    static auto* real = new RealSurroundings;
    return *real;
}

} // namespace slipway::spank
