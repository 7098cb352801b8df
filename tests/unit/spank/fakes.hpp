// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spank/plugin.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace slipway::spank::test {

/// Thrown where the real plugin would end the process.
struct Left {
    int code;
};

/// Slurm as the plugin sees it during one callback.
class FakeSlurm final : public SpankApi {
  public:
    Context where = Context::local;
    std::optional<std::uint32_t> job = 42;
    std::optional<std::uint32_t> step = 0;
    std::optional<std::uint32_t> tasks = 4;
    std::optional<uid_t> user = 1000;
    std::optional<gid_t> group = 1000;
    std::vector<gid_t> groups{1000, 27};
    std::vector<std::string> argv{"/bin/true"};
    std::map<std::string, std::string> job_env;
    std::map<std::string, std::string> control;
    mutable std::vector<std::string> logged;
    bool refuses_variables = false;

    [[nodiscard]] Context context() const override { return where; }
    [[nodiscard]] std::optional<std::uint32_t> job_id() const override { return job; }
    [[nodiscard]] std::optional<std::uint32_t> step_id() const override { return step; }
    [[nodiscard]] std::optional<std::uint32_t> local_tasks() const override { return tasks; }
    [[nodiscard]] std::optional<uid_t> uid() const override { return user; }
    [[nodiscard]] std::optional<gid_t> gid() const override { return group; }
    [[nodiscard]] std::vector<gid_t> supplementary_groups() const override { return groups; }
    [[nodiscard]] std::vector<std::string> arguments() const override { return argv; }
    bool environment_unreadable = false;
    [[nodiscard]] std::optional<std::vector<std::string>> environment() const override {
        if (environment_unreadable) {
            return std::nullopt;
        }
        std::vector<std::string> list;
        for (const auto& [name, value] : job_env) {
            std::string entry = name;
            list.push_back(entry.append("=").append(value));
        }
        return list;
    }
    [[nodiscard]] std::optional<std::string> get_env(const std::string& name) const override {
        const auto found = job_env.find(name);
        return environment_unreadable || found == job_env.end() ? std::nullopt
                                                                : std::optional(found->second);
    }
    bool set_env(const std::string& name, const std::string& value) override {
        job_env[name] = value;
        return !refuses_variables;
    }
    void unset_env(const std::string& name) override { job_env.erase(name); }
    void set_job_control(const std::string& name, const std::string& value) override {
        control[name] = value;
    }
    void unset_job_control(const std::string& name) override { control.erase(name); }
    void log(const std::string& line) const override { logged.push_back(line); }
    void log_error(const std::string& line) const override { logged.push_back(line); }
};

/// The machine and the process around the plugin.
class FakeSurroundings final : public Surroundings {
  public:
    std::map<std::string, std::string> env;
    std::string cwd = "/home/u";
    std::vector<std::string> files;
    std::map<std::string, int> programs; ///< what can_run() says; missing: ENOENT
    base::Result<Staged> staging = base::fail(base::Code::not_staged, "no client", "use a path");
    std::vector<std::string> staged;
    std::vector<std::string> reported;
    std::optional<base::Error> launcher_missing;
    std::optional<base::Error> start_error;
    std::optional<base::Error> enter_error;
    std::vector<launcher::join::Request> starts;
    std::vector<launcher::join::StartFacts> facts;
    std::vector<launcher::join::EnvironmentChange> changes;
    std::vector<std::string> start_warnings;
    int joins = 0;
    int entered = 0;
    std::vector<pid_t> stopped;

    [[nodiscard]] std::optional<std::string> get_env(const std::string& name) const override {
        const auto found = env.find(name);
        return found == env.end() ? std::nullopt : std::optional(found->second);
    }
    void set_env(const std::string& name, const std::string& value) override { env[name] = value; }
    void unset_env(const std::string& name) override { env.erase(name); }
    base::Result<Staged> stage(const Arguments&, const std::string& reference,
                               Staging how) override {
        staged.push_back(reference);
        staged_how = how;
        return staging;
    }
    Staging staged_how = Staging::wait;
    bool is_sbatch = false;
    [[nodiscard]] bool only_submits() const override { return is_sbatch; }
    [[nodiscard]] std::string current_directory() const override { return cwd; }
    [[nodiscard]] bool is_regular_file(const std::string& path) const override {
        return std::find(files.begin(), files.end(), path) != files.end();
    }
    void report(const std::string& line) override { reported.push_back(line); }
    void leave(int exit_code) override { throw Left{exit_code}; }
    [[nodiscard]] std::string node_name() const override { return "node1"; }
    base::Result<std::string> launcher_path(const Arguments&) const override {
        if (launcher_missing) {
            return base::Unexpected(*launcher_missing);
        }
        return std::string("/usr/libexec/slipway/slipway-launch");
    }
    base::Result<base::UniqueFd> own_pidfd() const override { return base::UniqueFd(); }
    base::Result<launcher::join::JoinHandles> start(const launcher::join::StartFacts& start_facts,
                                              const launcher::join::Request& request,
                                              const std::function<void(std::string_view)>& warn,
                                              const launcher::join::LauncherStarted& started) override {
        starts.push_back(request);
        facts.push_back(start_facts);
        started(4711, 12345);
        for (const auto& text : start_warnings) {
            warn(text);
        }
        if (start_error) {
            return base::Unexpected(*start_error);
        }
        return handles();
    }
    base::Result<launcher::join::JoinHandles> join(int, pid_t, int) override {
        ++joins;
        return handles();
    }
    base::Result<void> enter(const launcher::join::JoinHandles&,
                             const std::function<void(std::string_view)>&) override {
        if (enter_error) {
            return base::Unexpected(*enter_error);
        }
        ++entered;
        return {};
    }
    base::Result<void> stop(pid_t pid, std::uint64_t start_time, int) override {
        CHECK(start_time == 12345);
        stopped.push_back(pid);
        return {};
    }
    [[nodiscard]] int can_run(const std::string& path) const override {
        const auto found = programs.find(path);
        return found == programs.end() ? ENOENT : found->second;
    }

  private:
    [[nodiscard]] launcher::join::JoinHandles handles() const {
        launcher::join::JoinHandles handles;
        handles.record.environment = changes;
        handles.record.cwd = "/";
        handles.record.image_name = "debian.sif";
        return handles;
    }
};

/// A number for option(), as Slurm gives it back.
inline int number(OptionId id) {
    return static_cast<int>(id);
}

/// Runs a callback; the exit code when it ended the process.
template <typename Body>
std::optional<int> exit_code_of(Body body) {
    try {
        body();
    } catch (const Left& left) {
        return left.code;
    }
    return std::nullopt;
}

} // namespace slipway::spank::test
