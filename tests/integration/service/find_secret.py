#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""find_secret.py HOW SECRETS …: looks for secrets where they must not be; run by root.

SECRETS is a file with one secret on each line, so that looking for them puts them on no command
line. Every place where one was found is a line of output, with the number of the secret, never the
secret. Ends with 1 when something was found.

  memory SECRETS PID…        readable memory of processes
  files SECRETS PATH…        content and names of files below the paths
  watch SECRETS              command lines and environments of all processes, again and again until
                             SIGTERM; says "holding" after the first round and "rounds N" at the end
  catch SECRETS COMM MARK    waits for a process with that name and with MARK in its environment that
                             holds a secret in memory, stops it (SIGSTOP) and prints its pid; says
                             "holding" when it begins to wait
"""
import os
import signal
import sys
import time

BLOCK = 1 << 20


def secrets_of(path):
    with open(path, "rb") as lines:
        found = [line.strip() for line in lines if line.strip()]
    if not found or min(map(len, found)) < 16:
        sys.exit("find_secret: secrets are too short to be distinguished from anything else")
    return found


def which(secrets, data):
    return {number for number, secret in enumerate(secrets) if secret in data}


def in_stream(secrets, read):
    """Numbers of the secrets in what read(size) gives, also across its pieces."""
    overlap = max(map(len, secrets)) - 1
    found, tail = set(), b""
    while data := read(BLOCK):
        found |= which(secrets, tail + data)
        tail = (tail + data)[-overlap:]
    return found


def in_memory(secrets, pid):
    found, read = set(), 0
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        for line in maps:
            span, mode, *rest = line.split()
            if mode[0] != "r" or rest[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            begin, end = (int(word, 16) for word in span.split("-"))
            memory.seek(begin)

            def take(size):
                nonlocal read
                try:
                    data = memory.read(min(size, end - memory.tell()))
                except OSError:  # pages that are not there
                    return b""
                read += len(data)
                return data
            found |= in_stream(secrets, take)
    return found, read


def memory(secrets, *pids):
    hits, searched = 0, []
    for pid in map(int, pids):
        try:
            comm = comm_of(pid)
            found, read = in_memory(secrets, pid)
        except OSError:
            continue  # gone
        if read < 100000:
            continue  # a zombie
        searched.append(comm)
        for number in sorted(found):
            hits += 1
            print("memory of %d %s: secret %d" % (pid, comm, number))
    print("searched " + " ".join(sorted(searched)))
    return hits


def files(secrets, *roots):
    hits = seen = 0
    for root in roots:
        if not os.path.isdir(root):
            sys.exit("find_secret: there is no directory " + root)
        for directory, _, names in os.walk(root):
            for path in [os.path.join(directory, name) for name in names]:
                found = which(secrets, path.encode())
                if os.path.isfile(path) and not os.path.islink(path):
                    seen += 1
                    with open(path, "rb") as data:
                        found |= in_stream(secrets, data.read)
                for number in sorted(found):
                    hits += 1
                    print("%s: secret %d" % (path, number))
    if seen == 0:
        sys.exit("find_secret: there are no files in %s" % (roots,))
    return hits


def comm_of(pid):
    with open("/proc/%s/comm" % pid) as comm:
        return comm.read().strip()


def watch(secrets):
    seen, rounds = set(), 0
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    while going:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for what in ("cmdline", "environ"):
                try:
                    with open("/proc/%s/%s" % (pid, what), "rb") as data:
                        found = which(secrets, data.read())
                    for hit in {"%s of %s: secret %d" % (what, comm_of(pid), n) for n in found} - seen:
                        seen.add(hit)
                        print(hit, flush=True)
                except OSError:  # gone meanwhile, or a kernel thread
                    pass
        if rounds == 0:
            print("holding", flush=True)
        rounds += 1
    print("rounds %d" % rounds)
    return len(seen)


def catch(secrets, comm, mark):
    """Lets the process run for a moment at a time: it never ends while its memory is read."""
    print("holding", flush=True)
    end, pids = time.monotonic() + 60, []
    while time.monotonic() < end:
        for pid in pids or list(map(int, filter(str.isdigit, os.listdir("/proc")))):
            try:
                if comm_of(pid) != comm or mark.encode() not in environment_of(pid):
                    continue
                os.kill(pid, signal.SIGSTOP)
                pids = [pid]
                if in_memory(secrets, pid)[0]:
                    print(pid, flush=True)
                    return 0
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.001)
            except OSError:
                pids = []  # gone
    sys.exit("find_secret: no %s held a secret" % comm)


def environment_of(pid):
    with open("/proc/%d/environ" % pid, "rb") as data:
        return data.read()


def main():
    how, secrets, *rest = sys.argv[1:]
    hits = {"memory": memory, "files": files, "watch": watch, "catch": catch}[how](
        secrets_of(secrets), *rest)
    sys.exit(1 if hits else 0)


main()
