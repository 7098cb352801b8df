# SPDX-License-Identifier: Apache-2.0
"""A process of the image's server that has taken requests and does not answer them. Nothing here is a
race: the launcher is caught before its first instruction, and its server before its own."""
import ctypes
import os
import pathlib
import platform
import signal
import struct

SEIZE, INTERRUPT, SYSCALL, SYSCALL_INFO = 0x4206, 0x4207, 24, 0x420E
CONT, DETACH, SETOPTIONS, GETEVENTMSG = 7, 17, 0x4200, 0x4201
TRACE_SYSGOOD, TRACE_CHILDREN = 1, 0b1110  # fork, vfork, clone
EVENT_STOP = 128
ENTRY, EXIT = 1, 2
READ = {"x86_64": 0, "aarch64": 63, "ppc64le": 3}.get(platform.machine())
WALL = 0x40000000

FAN_CLASS_CONTENT, FAN_CLOEXEC = 0x4, 0x1
FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, FAN_ALLOW = 0x1, 0x40000, 1
EVENT = struct.Struct("=IBBHQii")  # fanotify_event_metadata

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes, libc.ptrace.restype = [ctypes.c_long] * 4, ctypes.c_long
libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


def ptrace(request, pid, address=0, data=0):
    checked(libc.ptrace(request, pid, address, data), f"ptrace {request:x}")


def stopped(pid):
    """Waits for a traced process to stop; gives the signal and the event."""
    _, status = os.waitpid(pid, WALL)
    assert os.WIFSTOPPED(status), status
    return os.WSTOPSIG(status), status >> 16


def wait_for_stop(pid):
    while stopped(pid)[1] != EVENT_STOP:
        ptrace(CONT, pid)


class Gate:
    """Catches processes that start a program."""

    def __init__(self, program):
        self.fd = checked(libc.fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY), "fanotify_init")
        checked(libc.fanotify_mark(self.fd, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, -100, os.fsencode(program)),
                "fanotify_mark")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)  # lets pass whoever waits

    def next(self):
        """The pid of the next process that starts the program, traced and stopped before the program's
        first instruction."""
        *_, file, pid = EVENT.unpack(os.read(self.fd, EVENT.size))
        ptrace(SEIZE, pid, 0, TRACE_CHILDREN)
        ptrace(INTERRUPT, pid)
        os.write(self.fd, struct.pack("=iI", file, FAN_ALLOW))
        os.close(file)
        wait_for_stop(pid)
        return pid

    def next_of(self, config):
        """The next one that is the launcher of a step under a site file."""
        while True:
            pid = self.next()
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[1] == b"step" and os.fsencode(config) in words:
                return pid
            ptrace(DETACH, pid)


def threads_of(pid):
    return [int(task) for task in os.listdir(f"/proc/{pid}/task")]


def hold_server_of(launcher):
    """Lets a launcher that next() gave run until one of its threads has started its server, and holds that,
    which is never there for the launcher's requests. Gives the server's pid."""
    ptrace(CONT, launcher)
    message, waiting = ctypes.c_long(), set()
    while True:
        pid, status = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(status):
            continue
        if pid not in threads_of(launcher):  # the server, seen before the one that started it
            waiting.add(pid)
            continue
        number, event = os.WSTOPSIG(status), status >> 16
        if event and event != EVENT_STOP:
            ptrace(GETEVENTMSG, pid, 0, ctypes.addressof(message))
            if message.value not in threads_of(launcher):
                break
        ptrace(CONT, pid, 0, 0 if event else number)
    server = message.value
    if server not in waiting:
        wait_for_stop(server)
    ptrace(DETACH, pid)
    for thread in threads_of(launcher):
        if thread != pid:
            ptrace(INTERRUPT, thread)
            wait_for_stop(thread)
            ptrace(DETACH, thread)
    hold(server)
    return server


def hold(server):
    """Steps a stopped server through its system calls until it has read a request or five: whoever has sent
    the last one waits from then on. SIGKILL ends it all the same."""
    ptrace(SETOPTIONS, server, 0, TRACE_SYSGOOD)
    info = ctypes.create_string_buffer(128)
    call, requests = None, 0
    while requests < 5:
        ptrace(SYSCALL, server)
        number, event = stopped(server)
        if number & 0x7F != signal.SIGTRAP or event:
            continue
        ptrace(SYSCALL_INFO, server, len(info), ctypes.addressof(info))
        if info.raw[0] == ENTRY:
            call = struct.unpack_from("<Q", info.raw, 24)[0]
        elif info.raw[0] == EXIT and call == READ and struct.unpack_from("<q", info.raw, 24)[0] > 0:
            requests += 1
