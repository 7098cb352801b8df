// SPDX-License-Identifier: Apache-2.0
// The plugin in srun, sbatch and salloc: everything runs as the user, before anything is submitted.
#include "base/text.hpp"
#include "spank/plugin.hpp"

namespace slipway::spank {
namespace {

using base::Code;
using base::Result;

/// Slurm's own programs end with $SLURM_EXIT_ERROR, when that is set, where they fail themselves.
int exit_code(const Surroundings& around) {
    const auto wish = around.get_env("SLURM_EXIT_ERROR");
    const auto code = wish ? base::parse_u64(*wish, 255) : base::Result<std::uint64_t>(0);
    return code && *code != 0 ? static_cast<int>(*code) : set_up_failed;
}

bool looks_like_path(std::string_view image) {
    return image.starts_with('/') || image == "." || image == ".." || image.starts_with("./") ||
           image.starts_with("../");
}

std::string without_dot(std::string path) {
    while (path.starts_with("./")) {
        path.erase(0, path.find_first_not_of('/', 1));
    }
    return path;
}

} // namespace

int Plugin::finish_local(SpankApi& api) {
    auto done = hand_on(api);
    if (done) {
        return 0;
    }
    // An empty message: the staging client has already said it.
    if (!done.error().message.empty()) {
        around_.tell("error: " + done.error().one_line());
    }
    // Not by a failing return value: Slurm ignores that where plugstack.conf says `optional`.
    around_.leave(exit_code(around_));
    return -1; // not reached; the compiler does not believe a virtual function's [[noreturn]]
}

Result<void> Plugin::hand_on(SpankApi& api) {
    take_variables();
    std::string text;
    if (!options_.wants_container()) {
        if (api.context() == Context::local) {
            TRY(refuse_orphans());
        }
        around_.unset_env(carrier_variable);
    } else if (failure_) {
        return base::Unexpected(*failure_);
    } else {
        TRY_ASSIGN(const auto settings, local_settings());
        if (api.context() == Context::local) {
            forget_credentials();
        }
        text = encode_settings(settings);
        publish(api, settings);
    }
    if (published_ && *published_ != text) {
        // Slurm keeps one value per option for the whole command, so the last would hit them all.
        return base::fail(
            Code::option_conflict,
            "the components of this heterogeneous job ask for different containers",
            "give all components the same container options, or start each by its own "
            "srun --het-group=N");
    }
    published_ = std::move(text);
    return {};
}

/// Slurm would hand the user's environment on to every node of the step. What only staging needed
/// stays here. (Batch scripts keep it: their sruns may stage more.)
void Plugin::forget_credentials() {
    for (const std::string_view tool : {"SLIPWAY", "SINGULARITY", "APPTAINER"}) {
        for (const std::string_view what : {"_DOCKER_USERNAME", "_DOCKER_PASSWORD"}) {
            around_.unset_env(std::string(tool).append(what));
        }
    }
}

/// Options win over variables, ours over those of pyxis. A site that runs the plugin beside pyxis
/// (option_prefix=) leaves the latter to pyxis.
void Plugin::take_variables() {
    const bool beside_pyxis = !arguments_.option_prefix.empty();
    const bool home =
        options_.given(OptionId::mount_home) || options_.given(OptionId::no_mount_home);
    const bool root = options_.given(OptionId::writable) || options_.given(OptionId::readonly);
    for (const auto& row : option_table) {
        const bool decided =
            options_.given(row.id) || (row.id == OptionId::mount_home && home) ||
            ((row.id == OptionId::writable || row.id == OptionId::readonly) && root);
        if (row.variable == nullptr || decided) {
            continue;
        }
        auto value = around_.get_env(std::string(our_variable_prefix) + row.variable);
        if ((!value || value->empty()) && !beside_pyxis) {
            value = around_.get_env(std::string(pyxis_variable_prefix) + row.variable);
        }
        if (value && !value->empty()) {
            options_.take(row.id, std::string_view(*value));
        }
    }
}

/// An option without an image is a slip when it was typed for this very srun; as a variable, or
/// inherited from sbatch, it only says what containers should look like if there are any.
Result<void> Plugin::refuse_orphans() const {
    if (options_.given(OptionId::image)) {
        return {}; // --container-image=none
    }
    for (const auto& row : option_table) {
        const auto name = name_of(row.id);
        const auto is_set = [&](const std::string& variable) {
            return !around_.get_env(variable).value_or("").empty();
        };
        const bool elsewhere = around_.get_env(inherited_variable(name)).has_value() ||
                               (row.variable != nullptr &&
                                (is_set(std::string(our_variable_prefix) + row.variable) ||
                                 is_set(std::string(pyxis_variable_prefix) + row.variable)));
        if (options_.given(row.id) && !elsewhere) {
            return base::fail(Code::option_conflict, "--" + name + " is given without an image",
                              "add --" + name_of(OptionId::image));
        }
    }
    return {};
}

Result<Settings> Plugin::local_settings() {
    TRY_ASSIGN(auto settings, options_.settings());
    TRY(resolve_image(settings));
    return settings;
}

Result<void> Plugin::resolve_image(Settings& settings) {
    const bool local_file =
        looks_like_path(settings.image) || around_.is_regular_file(settings.image);
    if (!local_file) {
        if (!staged_ || staged_reference_ != settings.image) {
            // The sruns of a batch script stage again, by digest, and wait there; a script that
            // runs in the image itself has nobody who could wait for it.
            const bool begin = around_.only_submits() && stays_on_host(settings.batch);
            TRY_ASSIGN(staged_, around_.stage(arguments_, settings.image,
                                              begin ? Staging::begin : Staging::wait));
            staged_reference_ = settings.image;
        }
        settings.path = staged_->path;
        settings.image = staged_->pinned;
        return {};
    }
    settings.path = settings.image;
    if (!settings.image.starts_with('/')) {
        // Made absolute here, because the node does not know where srun was called. Symlinks stay:
        // what they mean may differ between this machine and the nodes.
        const auto directory = around_.current_directory();
        if (directory.empty()) {
            return base::fail(Code::image_not_found,
                              "cannot tell where " + base::in_quotes(settings.image) +
                                  " is: the current directory is gone",
                              "change to a directory that exists, or give an absolute path");
        }
        settings.path = (directory == "/" ? "" : directory) + "/" + without_dot(settings.image);
        settings.image = settings.path;
    }
    return check_image_path(settings.path);
}

/// Three ways on: the carrier for the node, Slurm's option variables for anything that reads those
/// (prolog, job_submit), and the job control environment, which sruns inside the job inherit.
void Plugin::publish(SpankApi& api, const Settings& settings) {
    around_.set_env(carrier_variable, encode_settings(settings));
    const auto options = canonical_options(settings, settings.image);
    for (const auto& row : option_table) {
        const auto variable = slurm_option_variable(name_of(row.id));
        const std::string* value = nullptr;
        for (const auto& [id, text] : options) {
            value = id == row.id ? &text : value;
        }
        if (value != nullptr) {
            around_.set_env(variable, *value);
            api.set_job_control(variable, *value);
        } else if (options_.given(row.id)) {
            around_.unset_env(variable);
            api.unset_job_control(variable);
        }
    }
}

} // namespace slipway::spank
