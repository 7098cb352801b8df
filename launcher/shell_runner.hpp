// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/environment.hpp"

namespace slipway::launcher {

/// Makes a ShellRunner for a process whose root directory is the finished container. The script
/// runs in a child without any privilege, standard input and output on /dev/null and on standard
/// error; it is killed after `timeout_ms`. The exported variables are read from the kernel
/// (/proc/PID/environ of `proc_fd`, the host's /proc opened before the root changed), so no program
/// of the image but /bin/sh is needed. Code::launcher_failed, Code::timed_out,
/// Code::limit_exceeded.
ShellRunner shell_runner(int proc_fd, int timeout_ms);

} // namespace slipway::launcher
