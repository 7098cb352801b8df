// SPDX-License-Identifier: Apache-2.0
// The plugin in srun, sbatch and salloc: everything runs as the user, before anything is submitted.
#include "base/credential_variables.hpp"
#include "base/text.hpp"
#include "launcher/join/mount_spec.hpp"
#include "spank/plugin.hpp"

#include <algorithm>

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
    if (done.error().code == Code::interrupted) {
        around_.report(done.error().message); // no error: who interrupts knows why
    } else if (!done.error().message.empty()) { // empty: the staging client has already said it
        around_.report("error: " + done.error().one_line());
    }
    // Not by a failing return value: Slurm ignores that where plugstack.conf says `optional`.
    around_.leave(exit_code(around_));
    return -1; // not reached; the compiler does not believe a virtual function's [[noreturn]]
}

Result<void> Plugin::hand_on(SpankApi& api) {
    const bool options_given = options_.any_given();
    // Also without an image: as a default for later commands a value that is none would fail on a node.
    TRY(options_.check(arguments_.option_prefix));
    take_variables();
    std::string text;
    if (!options_.wants_container()) {
        TRY(refuse_orphans(api));
        if (options_given) {
            around_.set_env(carrier_variable, carrier_no_container);
        } else {
            around_.unset_env(carrier_variable);
        }
    } else if (failure_) {
        return base::Unexpected(*failure_);
    } else {
        TRY_ASSIGN(const auto settings, local_settings(api));
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
/// stays here, unless --container-env names it. (Batch scripts keep it: their sruns may stage
/// more.)
void Plugin::forget_credentials(const std::vector<std::string>& wanted) {
    for (const auto& pair : base::credential_variables) {
        for (const auto name : {pair.username, pair.password}) {
            if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) {
                around_.unset_env(std::string(name));
            }
        }
    }
}

/// Options win over variables, ours over those of pyxis. A site that runs the plugin beside pyxis
/// (option_prefix=) leaves the latter to pyxis.
void Plugin::take_variables() {
    take_variables_of(our_variable_prefix);
    if (arguments_.option_prefix.empty()) {
        take_variables_of(pyxis_variable_prefix);
    }
}

void Plugin::take_variables_of(const char* prefix) {
    const auto before = options_;
    for (const auto& row : option_table) {
        // An option has also decided what its opposite says.
        const bool decided = std::any_of(
            std::begin(option_table), std::end(option_table), [&](const OptionRow& other) {
                const bool same = other.id == row.id || (row.target.on_off != nullptr &&
                                                         other.target.on_off == row.target.on_off);
                return same && before.given(other.id);
            });
        if (row.variable == nullptr || decided) {
            continue;
        }
        auto variable = std::string(prefix) + row.variable;
        const auto value = around_.get_env(variable);
        if (value && !value->empty()) {
            options_.take(row.id, std::string_view(*value), std::move(variable));
        }
    }
}

/// sbatch or salloc was given this option, and the sruns inside find it already there.
bool Plugin::is_inherited(OptionId id) const {
    return around_.get_env(inherited_variable(name_of(id))).has_value();
}

/// An option without an image (or with the image `none`) is a mistake when it was typed for this very
/// srun, and in a variable of Slurm's own, which nobody sets but by hand. As one of our variables, or
/// inherited from sbatch, it only says what containers should look like if there are any. So it does on
/// the command lines of sbatch and salloc, unless they ask for their own script to run in it.
Result<void> Plugin::refuse_orphans(const SpankApi& api) const {
    const auto is_set = [&](const std::string& variable) {
        return !around_.get_env(variable).value_or("").empty();
    };
    const bool none = options_.given(OptionId::image);
    if (!none && around_.get_env(slurm_option_variable(name_of(OptionId::image)))) {
        return {}; // the node checks what it is
    }
    for (const auto& row : option_table) {
        const auto name = name_of(row.id);
        const bool matters = api.context() == Context::local ||
                             (row.id == OptionId::batch &&
                              parse_switch(options_.value(row.id)).value_or(false));
        if (row.id == OptionId::image || !matters || is_inherited(row.id)) {
            continue;
        }
        if (options_.typed(row.id) && none) {
            return base::fail(Code::option_conflict,
                              "--" + name + " has no effect with " +
                                  source_of(OptionId::image) + "=none",
                              "leave it out, or name an image");
        }
        const auto hint = "add --" + name_of(OptionId::image);
        if (options_.typed(row.id)) {
            return base::fail(Code::option_conflict, "--" + name + " is given without an image",
                              hint);
        }
        if (!none && !options_.given(row.id) && is_set(slurm_option_variable(name))) {
            return base::fail(Code::option_conflict,
                              "the variable " + slurm_option_variable(name) + " asks for --" +
                                  name + " without an image",
                              "unset it: it belongs to Slurm; or " + hint);
        }
    }
    return {};
}

/// An srun may contradict what it inherits from sbatch.
Result<void> Plugin::refuse_contradiction() const {
    const auto both = options_.contradiction();
    if (!both || is_inherited(both->first) || is_inherited(both->second)) {
        return {};
    }
    const auto one = source_of(both->first);
    const auto other = source_of(both->second);
    return base::fail(Code::option_conflict, one + " and " + other + " contradict each other",
                      "give one of them, or switch one off: " + one + "=off");
}

/// Only a batch script can be moved into its container. What salloc runs is started by salloc
/// itself on this machine, and what srun runs is in the container anyway.
Result<void> Plugin::refuse_batch(const SpankApi& api, Switch batch) const {
    if (batch != Switch::on || is_inherited(OptionId::batch)) {
        return {};
    }
    const auto name = source_of(OptionId::batch);
    if (api.context() == Context::allocator && !around_.only_submits()) {
        return base::fail(Code::option_conflict,
                          name + " is for batch scripts: what salloc runs stays on this machine",
                          "leave it out and use srun inside");
    }
    // As a variable it is a default for later batch scripts.
    if (api.context() == Context::local && options_.typed(OptionId::batch)) {
        return base::fail(Code::option_conflict, name + " is for batch scripts, not for srun",
                          "leave it out: all tasks of srun are in the container");
    }
    return {};
}

Result<Settings> Plugin::local_settings(const SpankApi& api) {
    TRY_ASSIGN(auto settings, options_.settings(arguments_.option_prefix));
    TRY(refuse_contradiction());
    TRY(refuse_batch(api, settings.batch));
    if (!settings.mounts.empty()) {
        // Like the image: the node does not know where srun was called.
        auto mounts = launcher::join::absolute_mounts(settings.mounts, around_.current_directory());
        if (!mounts) {
            return base::Unexpected(
                std::move(mounts).error().context(source_of(OptionId::mounts)));
        }
        settings.mounts = std::move(*mounts);
        TRY(check_length(source_of(OptionId::mounts), settings.mounts.size()));
    }
    TRY(resolve_image(settings));
    if (api.context() == Context::local) {
        forget_credentials(settings.environment);
    }
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
        settings.image_id = staged_->image_id;
        settings.image_store = staged_->store;
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
                              "cannot find out where " + base::in_quotes(settings.image) +
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
    const auto options = canonical_options(settings);
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
