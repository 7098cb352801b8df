// SPDX-License-Identifier: Apache-2.0
#include "prefetch/service/metrics.hpp"

#include "base/format.hpp"

namespace slipway::prefetch::service {

std::string Metrics::text(std::size_t running, std::size_t queued) const {
    std::string out;
    const auto add = [&](const char* name, const char* type, const char* help,
                         std::uint64_t value) {
        out += fmt::format("# HELP slipway_{0} {1}\n# TYPE slipway_{0} {2}\nslipway_{0} {3}\n", name,
                           help, type, value);
    };
    add("requests_total", "counter", "HTTP requests", requests);
    add("answers_cached_total", "counter", "Requests answered from memory", cached);
    add("requests_refused_total", "counter", "Requests over a limit", refused);
    add("images_staged_total", "counter", "Images fetched and converted", staged);
    add("images_present_total", "counter", "Images that were in the store already", present);
    add("images_failed_total", "counter", "Images that could not be staged", failed);
    add("image_bytes_total", "counter", "Bytes of images made", bytes_out);
    add("connections", "gauge", "Open connections", connections);
    add("work_running", "gauge", "Images being staged", running);
    add("work_queued", "gauge", "Images waiting for a worker", queued);
    return out;
}

} // namespace slipway::prefetch::service
