// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/devices/edits.hpp"
#include "launcher/devices/library_list.hpp"
#include "launcher/planner.hpp"
#include "launcher/targets.hpp"

#include <string>
#include <string_view>

namespace slipway::launcher {

/// One planning: planner.cpp has the order and what users and sites ask for, planner_system.cpp
/// what every container needs of kernel and host.
class Planner {
  public:
    explicit Planner(const PlannerInput& input)
        : in_(input), request_(input.request), changes_(changes_of(input)),
          writable_(changes_ == Changes::memory || changes_ == Changes::overlay),
          contained_(request_.containment != join::Containment::none),
          targets_(input.image, missing_points(input, changes_)) {}

    base::Result<Plan> make();

  private:
    struct Bind {
        std::string source;
        std::string target;
        Origin origin = Origin::system;
        std::string written; ///< for messages
        bool readonly = false;
        bool noexec = false;
        bool nodev = true;
        bool private_propagation = false;
        bool replace_link = false;
        bool directory = false;       ///< nothing else will do
        bool own = false;             ///< as in Operation
        const HostEntry* opened = nullptr; ///< the source, where it is open already
        bool only_if_present = false; ///< a missing source is no reason for a word
    };

    static Changes changes_of(const PlannerInput& input) noexcept;
    static MissingPoints missing_points(const PlannerInput& input, Changes changes) noexcept;
    base::Result<void> read_home();
    base::Result<void> add_kernel_directories();
    base::Result<void> add_minimal_dev();
    base::Result<void> add_sys();
    base::Result<void> add_message_queues();
    base::Result<void> add_filesystem(Operation::Kind kind, const std::string& target);
    base::Result<void> add_private(const std::string& target, std::uint32_t mode, Origin origin,
                                   const std::string& written, std::string_view part);
    base::Result<void> add_resolver();
    base::Result<void> add_temporary_directories();
    base::Result<void> add_home();
    base::Result<void> add_etc_files();
    base::Result<void> add_site_binds();
    base::Result<void> add_gpu();
    base::Result<void> add_library_directories();
    base::Result<void> add_device_mounts(const std::vector<devices::Mount>& mounts,
                                         const std::vector<HostEntry>& opened);
    base::Result<void> add_device_links();
    bool leads_to_host(const std::string& target);
    devices::LibraryList library_list(devices::Vendor vendor);
    base::Result<void> add_scratch();
    base::Result<void> add_user_mounts();
    base::Result<void> add_cwd();
    base::Result<void> add_required_files();
    void choose_cwd();
    void plan_variables();

    base::Result<HostEntry> open_source(const Bind& bind);
    base::Result<void> add_bind(const Bind& bind);
    base::Result<void> add_tmpfs(const std::string& target, std::uint32_t mode, Origin origin,
                                 const std::string& written, bool nodev = true);
    base::Result<void> add_file(const std::string& target, std::string content);
    base::Result<void> add_host_file(const std::string& path);
    base::Result<void> add_written(const std::string& target, Operation operation);
    void push(Operation operation);
    base::Result<void> tolerate(Origin origin, base::Result<void> outcome);
    [[nodiscard]] bool has_own_dev() const;
    [[nodiscard]] bool unwanted(std::string_view name) const;
    [[nodiscard]] bool host_path_visible(const std::string& path) const;
    [[nodiscard]] const Operation* in_the_way_of(const std::string& target) const;

    const PlannerInput& in_;
    const join::Request& request_;
    Changes changes_;
    /// What every container has in /etc becomes part of the root. Not where that is the user's own
    /// image: nobody has asked for the node's files in there.
    bool writable_;
    bool contained_;
    Targets targets_;
    Plan plan_;
    devices::ContainerEdits edits_;
    std::vector<std::string> mounted_; ///< targets of the user's mounts, as written
    std::string home_source_;
    bool home_given_ = false;
};

} // namespace slipway::launcher
