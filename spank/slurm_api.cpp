// SPDX-License-Identifier: Apache-2.0
#include "spank/slurm_api.hpp"

#include "base/text.hpp"

#include <unistd.h>

// spank.h declares the callbacks outside its extern "C".
extern "C" {
#include <slurm/spank.h>
}

namespace slipway::spank {
namespace {

template <typename Value>
std::optional<Value> item(spank_t handle, spank_item_t which) {
    Value value{};
    if (spank_get_item(handle, which, &value) != ESPANK_SUCCESS) {
        return std::nullopt;
    }
    return value;
}

/// The job's environment as Slurm holds it; valid until the next change of a variable.
char** environment_of(spank_t handle) {
    return item<char**>(handle, S_JOB_ENV).value_or(nullptr);
}

} // namespace

Context SlurmApi::context() const {
    switch (spank_context()) {
    case S_CTX_LOCAL:
        return Context::local;
    case S_CTX_REMOTE:
        return Context::remote;
    case S_CTX_ALLOCATOR:
        return Context::allocator;
    case S_CTX_SLURMD:
        return Context::slurmd;
    case S_CTX_JOB_SCRIPT:
        return Context::job_script;
    default:
        return Context::error;
    }
}

std::optional<std::uint32_t> SlurmApi::job_id() const {
    return item<std::uint32_t>(handle_, S_JOB_ID);
}

std::optional<std::uint32_t> SlurmApi::step_id() const {
    return item<std::uint32_t>(handle_, S_JOB_STEPID);
}

std::optional<std::uint32_t> SlurmApi::local_tasks() const {
    return item<std::uint32_t>(handle_, S_JOB_LOCAL_TASK_COUNT);
}

std::optional<uid_t> SlurmApi::uid() const {
    return item<uid_t>(handle_, S_JOB_UID);
}

std::optional<gid_t> SlurmApi::gid() const {
    return item<gid_t>(handle_, S_JOB_GID);
}

std::vector<gid_t> SlurmApi::supplementary_groups() const {
    gid_t* groups = nullptr;
    int count = 0;
    if (spank_get_item(handle_, S_JOB_SUPPLEMENTARY_GIDS, &groups, &count) != ESPANK_SUCCESS ||
        groups == nullptr || count <= 0) {
        return {};
    }
    return {groups, groups + count};
}

std::vector<std::string> SlurmApi::arguments() const {
    int count = 0;
    char** list = nullptr;
    if (spank_get_item(handle_, S_JOB_ARGV, &count, &list) != ESPANK_SUCCESS || list == nullptr) {
        return {};
    }
    std::vector<std::string> arguments;
    for (int i = 0; i < count && list[i] != nullptr; ++i) {
        arguments.emplace_back(list[i]);
    }
    return arguments;
}

std::optional<std::vector<std::string>> SlurmApi::environment() const {
    char** entry = environment_of(handle_);
    if (entry == nullptr) {
        return std::nullopt;
    }
    std::vector<std::string> list;
    for (; *entry != nullptr; ++entry) {
        list.emplace_back(*entry);
    }
    return list;
}

std::optional<std::string> SlurmApi::get_env(const std::string& name) const {
    for (char** entry = environment_of(handle_); entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (text.size() > name.size() && text[name.size()] == '=' && text.starts_with(name)) {
            return std::string(text.substr(name.size() + 1));
        }
    }
    return std::nullopt;
}

bool SlurmApi::set_env(const std::string& name, const std::string& value) {
    return spank_setenv(handle_, name.c_str(), value.c_str(), 1) == ESPANK_SUCCESS;
}

void SlurmApi::unset_env(const std::string& name) {
    spank_unsetenv(handle_, name.c_str()); // a variable that is not there is as good
}

void SlurmApi::set_job_control(const std::string& name, const std::string& value) {
    spank_job_control_setenv(handle_, name.c_str(), value.c_str(), 1);
}

void SlurmApi::unset_job_control(const std::string& name) {
    spank_job_control_unsetenv(handle_, name.c_str());
}

void SlurmApi::log(const std::string& line) const {
    slurm_info("%s", base::printable(line).c_str());
}

void SlurmApi::log_error(const std::string& line) const {
    slurm_error("%s", base::printable(line).c_str());
}

} // namespace slipway::spank
