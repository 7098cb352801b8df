// SPDX-License-Identifier: Apache-2.0
// The verb doctor.
#include "cli/doctor.hpp"

#include "base/text.hpp"
#include "cli/images_program.hpp"
#include "cli/messages.hpp"
#include "cli/session.hpp"
#include "cli/verbs.hpp"

#include <iterator>

#include <sys/utsname.h>

namespace slipway::cli {

base::Result<int> run_doctor(Session& session) {
    Surroundings around;
    around.slurm_conf = std::string(session.environment.get("SLURM_CONF").value_or(""));
    around.search_path = std::string(session.environment.get("PATH").value_or(""));
    std::vector<Finding> findings;
    const auto add = [&](std::vector<Finding> more) {
        findings.insert(findings.end(), std::make_move_iterator(more.begin()),
                        std::make_move_iterator(more.end()));
    };
    utsname system{};
    ::uname(&system);
    add({check_kernel(system.release), check_user_namespaces(around), check_fuse(around)});
    add(check_programs());
    const auto config = config::load(config::Reader::user, session.site_file());
    if (config) {
        add({{Verdict::pass, "configuration",
              config->source.empty() ? "none: the built-in defaults are in force"
                                     : base::in_quotes(config->source) + " has no mistakes",
              {}}});
        add(check_store(*config));
        if (const auto program = find_images_program()) {
            const auto site = session.site_file();
            add({check_own_store(*program,
                                 site.empty() ? std::vector<std::string>()
                                              : std::vector<std::string>{"--config", site},
                                 session.environment.variables())});
        }
        add({check_service(*config)});
        add(check_registries(*config));
    } else {
        add({{Verdict::fail, "configuration", config.error().message, config.error().hint}});
    }
    add(check_slurm(around));
    TRY(printed(session.arguments.flag("json") ? findings_json(findings) : findings_text(findings)));
    for (const auto& finding : findings) {
        if (finding.verdict == Verdict::fail) {
            return exit_found_something;
        }
    }
    return 0;
}

} // namespace slipway::cli
