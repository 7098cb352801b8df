// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/environment.hpp"

namespace slipway::launcher {

/// Makes a ShellRunner for a process whose root directory is the finished container. The script
/// runs in a child without any privilege, standard input and output on /dev/null and on standard
/// error; it is killed after `timeout_ms`. It is alone in a pid namespace: nothing that the scripts
/// have started, daemons included, is left when the runner returns. The exported variables are read
/// from the kernel
/// (/proc/PID/environ of `proc_fd`, the host's /proc opened before the root changed, whatever the
/// child's number is there), so no program of the image but /bin/sh is needed. Must be called with CAP_SYS_ADMIN in the container's user
/// namespace. Code::launcher_failed, Code::timed_out, Code::limit_exceeded,
/// Code::userns_unavailable.
ShellRunner shell_runner(int proc_fd, int timeout_ms);

} // namespace slipway::launcher
