# SPDX-License-Identifier: Apache-2.0
"""A process of the image's server that has taken a request and does not answer it."""
import ctypes
import os
import platform
import signal
import struct
import time

from harness import children

SEIZE, INTERRUPT, SYSCALL, SYSCALL_INFO = 0x4206, 0x4207, 24, 0x420E
TRACE_SYSGOOD = 1
ENTRY, EXIT = 1, 2
READ = {"x86_64": 0, "aarch64": 63, "ppc64le": 3}.get(platform.machine())
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes, libc.ptrace.restype = [ctypes.c_long] * 4, ctypes.c_long


def ptrace(request, pid, address=0, data=0):
    if libc.ptrace(request, pid, address, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:x}")


def hold_server_of(launcher):
    """Lets a launcher run a little at a time, so that it is still at its mounts when its server is there,
    and holds that. Gives the server's pid."""
    os.kill(launcher, signal.SIGSTOP)
    while not children(launcher):
        os.kill(launcher, signal.SIGCONT)
        time.sleep(0.0005)
        os.kill(launcher, signal.SIGSTOP)
    server = children(launcher)[0]
    os.kill(launcher, signal.SIGCONT)
    hold(server)
    return server


def hold(server):
    """Attaches to a server and steps through its system calls until it has read a request or five:
    whoever has sent the last one waits from then on. SIGKILL ends it all the same."""
    ptrace(SEIZE, server, 0, TRACE_SYSGOOD)
    ptrace(INTERRUPT, server)
    os.waitpid(server, WALL)
    info = ctypes.create_string_buffer(128)
    call, requests = None, 0
    while requests < 5:
        ptrace(SYSCALL, server)
        _, status = os.waitpid(server, WALL)
        assert os.WIFSTOPPED(status), status
        if os.WSTOPSIG(status) & 0x7F != signal.SIGTRAP or status >> 16:
            continue
        ptrace(SYSCALL_INFO, server, len(info), ctypes.addressof(info))
        if info.raw[0] == ENTRY:
            call = struct.unpack_from("<Q", info.raw, 24)[0]
        elif info.raw[0] == EXIT and call == READ and struct.unpack_from("<q", info.raw, 24)[0] > 0:
            requests += 1
