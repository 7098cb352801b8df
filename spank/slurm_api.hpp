// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spank/api.hpp"

struct spank_handle;

namespace slipway::spank {

/// The real Slurm behind one callback's handle. Only this, core.cpp and front.cpp know spank.h.
class SlurmApi final : public SpankApi {
  public:
    explicit SlurmApi(spank_handle* handle) noexcept : handle_(handle) {}

    [[nodiscard]] Context context() const override;
    [[nodiscard]] std::optional<std::uint32_t> job_id() const override;
    [[nodiscard]] std::optional<std::uint32_t> step_id() const override;
    [[nodiscard]] std::optional<std::uint32_t> local_tasks() const override;
    [[nodiscard]] std::optional<uid_t> uid() const override;
    [[nodiscard]] std::optional<gid_t> gid() const override;
    [[nodiscard]] std::vector<gid_t> supplementary_groups() const override;
    [[nodiscard]] std::vector<std::string> arguments() const override;
    [[nodiscard]] std::optional<std::vector<std::string>> environment() const override;
    [[nodiscard]] std::optional<std::string> get_env(const std::string& name) const override;
    bool set_env(const std::string& name, const std::string& value) override;
    void unset_env(const std::string& name) override;
    void set_job_control(const std::string& name, const std::string& value) override;
    void unset_job_control(const std::string& name) override;
    void log(const std::string& line) const override;
    void log_error(const std::string& line) const override;

  private:
    spank_handle* handle_;
};

} // namespace slipway::spank
