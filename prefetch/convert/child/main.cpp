// SPDX-License-Identifier: Apache-2.0
// slipway-convert: one conversion, or one check of a finished image, in a process that can do nothing else. Started by
// convert_isolated(), never by people; protocol.hpp says what it inherits and what it says.
// Composition only.
#include "base/barrier.hpp"
#include "base/capabilities.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "base/inherited_state.hpp"
#include "prefetch/convert/child/connection.hpp"
#include "prefetch/convert/child/sandbox.hpp"
#include "prefetch/convert/convert.hpp"
#include "prefetch/convert/finished_file.hpp"
#include "prefetch/convert/window_gate.hpp"

#include <exception>
#include <new>

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

namespace {

using namespace slipway;
using namespace slipway::prefetch;

constexpr std::size_t thread_stack = 256U << 10U; ///< no thread of the converter recurses
constexpr std::uint64_t mib = 1U << 20U;

/// The kernel's first choice when memory is short: nobody else's work ends for this image.
void volunteer_for_the_oom_killer() {
    if (const auto file = base::open_file("/proc/self/oom_score_adj", O_WRONLY)) {
        (void)base::write_all(file->get(), "1000");
    }
}

/// libcrypto reads its configuration when it is first used: not possible later.
void load_digests() {
    (void)image::Hasher(image::Hasher::Algorithm::sha256).finish();
    (void)image::Hasher(image::Hasher::Algorithm::sha512).finish();
}

/// What the kernel enforces behind the converter's own accounts: room for the allocator's gaps and
/// for the compressors, time for the slowest level.
convert::Bounds bounds_for(const convert::Request& request) {
    const auto& options = request.options;
    convert::Bounds bounds;
    bounds.data_bytes = options.memory + options.memory / 2 + 16 * mib * convert::thread_count(options) +
                        convert::WindowGate::most_bytes + 64 * mib;
    bounds.file_bytes = options.limits.image_bytes + options.memory + 64 * mib;
    std::uint64_t most = 0;
    for (const auto& layer : request.layers) {
        // What a blob of that size may unpack to before the ratio is looked at, and what it may then.
        const std::uint64_t unpacked =
            layer.blob.size > options.limits.image_bytes / options.limits.ratio
                ? options.limits.image_bytes
                : layer.blob.size * options.limits.ratio;
        most += std::max<std::uint64_t>(1024 * mib, unpacked);
    }
    constexpr std::uint64_t slowest = mib / 4; // bytes a second: the highest level on an old machine
    bounds.cpu_seconds = 600 + std::min(most, options.limits.image_bytes) / slowest;
    return bounds;
}

/// A check holds some blocks of metadata and the tables that the file's own size bounds.
convert::Bounds bounds_for(const convert::FinishedCheck&) {
    return {.data_bytes = 256 * mib, .file_bytes = 0, .cpu_seconds = 60};
}

base::Result<convert::Order> read_order() {
    const base::UniqueFd file(convert::request_fd);
    TRY_ASSIGN(const auto bytes, base::read_to_end(file.get(), convert::max_order));
    return convert::decode_order(bytes);
}

base::Result<convert::ConvertReport> carry_out(convert::Request& request,
                                               convert::Connection& connection) {
    convert::ConvertInput input;
    input.native = std::move(request.native);
    for (std::uint32_t index = 0; index < request.layers.size(); ++index) {
        auto& layer = request.layers[index];
        input.layers.push_back({std::move(layer.blob), std::move(layer.diff_id),
                                [&connection, index] { return connection.open(index); }});
    }
    request.options.digest_output = false; // of the file as it lies there: the parent's work
    convert::ProgressReporter progress(connection, input.layers.size());
    auto report = convert::convert(input, request.options, convert::file_fd, progress);
    return report;
}

base::Result<convert::ConvertReport> carry_out(const convert::FinishedCheck& check,
                                               convert::Connection&) {
    TRY(convert::check_finished(convert::file_fd, check));
    return convert::ConvertReport{};
}

base::Result<convert::ConvertReport> run(convert::Connection& connection) {
    TRY_ASSIGN(auto order, read_order());
    return std::visit(
        [&](auto& what) -> base::Result<convert::ConvertReport> {
            TRY(convert::set_bounds(bounds_for(what)));
            connection.start();
            return carry_out(what, connection);
        },
        order);
}

} // namespace

int main() {
    base::repair_inherited_state();
    volunteer_for_the_oom_killer();
    load_digests();
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setstacksize(&attributes, thread_stack);
        pthread_setattr_default_np(&attributes);
    }
    ::mallopt(M_ARENA_MAX, 4); // every arena keeps what its threads have freed
    const auto sandboxed = convert::enter_sandbox();
    convert::Connection connection(convert::control_fd);
    std::set_new_handler([] { convert::Connection::out_of_memory(); });
    convert::FromChild last;
    try {
        auto report = sandboxed ? run(connection) : tl::unexpected(sandboxed.error());
        if (report) {
            last = convert::Done{std::move(*report)};
        } else {
            last = convert::Failed{std::move(report).error()};
        }
    } catch (const std::bad_alloc&) {
        convert::Connection::out_of_memory();
    } catch (const std::exception& error) {
        last = convert::Failed{base::error_of(error).context("the conversion failed")};
    }
    connection.send(last);
    ::_exit(0); // threads that still listen have nothing to lose
}
