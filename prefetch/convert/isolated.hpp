// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/contract.hpp"

#include <string>

namespace slipway::prefetch::convert {

inline constexpr std::string_view child_program_name = "slipway-convert";

/// What convert() does, in a process of its own that can do nothing else: without capabilities,
/// network and files, within limits of memory, time and file size, and under a seccomp filter
/// (child/sandbox.hpp). A layer that makes the decoders fail ends that process alone, and comes back
/// as an error like any other:
///   Code::limit_exceeded  out of memory, or too much processor time
///   Code::internal        the process crashed or broke the protocol
///   Code::system          it was killed from outside, or could not be started
/// and everything that convert() gives. `stop` ends it at once.
///
/// Blocks; call it from a thread that lives as long as the conversion (the kernel ends the child
/// with that thread). `program` is the child's; "" is the installed one. On failure the output is
/// empty.
base::Result<ConvertReport> convert_isolated(const ConvertInput& input,
                                             const ConvertOptions& options, int out_fd,
                                             ProgressSink& progress,
                                             const std::string& program = {});

/// What check_finished() does (finished_file.hpp), in the same way. `fd` is only read.
base::Result<void> check_isolated(int fd, const FinishedCheck& check, std::stop_token stop,
                                  const std::string& program = {});

} // namespace slipway::prefetch::convert
