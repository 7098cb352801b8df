#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""abuse.py ATTACK SOCKET [ARGUMENT…]: one kind of abuse of the service's socket, by whoever runs it.

Ends with 0 when the service answered as it must, else says what it did instead. Says "holding" on a
line of its own when an attack that lasts is at its height, and goes on until it is killed.
"""
import hashlib
import json
import re
import resource
import select
import socket
import sys
import time
import unicodedata

PATIENCE = 30  # seconds that anything may take on a busy machine


def connect(path):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.connect(path)  # blocking: the queue of a busy listener may be full for a moment
    made.settimeout(PATIENCE)
    return made


def read_all(peer):
    """Everything until the service closes."""
    got = b""
    try:
        while chunk := peer.recv(65536):
            got += chunk
    except ConnectionError:
        pass
    return got


def send(peer, data):
    """False when the service has closed before it took everything."""
    try:
        peer.sendall(data)
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


def ask(path, data):
    """One exchange of raw bytes; the service closes or we say that nothing more comes."""
    with connect(path) as peer:
        if send(peer, data):
            try:
                peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return read_all(peer)


def status(answer):
    """HTTP status, 0 when the connection was closed without a word."""
    words = answer.split(b" ", 2)
    return int(words[1]) if answer.startswith(b"HTTP/1.1 ") and len(words) == 3 else 0


def post(body, headers=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "POST /v1/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n"
    return (head % (headers, len(body))).encode() + body


def get(target, method="GET", headers=""):
    return ("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % (method, target, headers)).encode()


def body_of(answer):
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def must(condition, what):
    if not condition:
        sys.exit("abuse: " + what)


def must_answer(path, name, data, *allowed):
    got = ask(path, data)
    must(status(got) in allowed, "%s: answered %r, not one of %r" % (name, got[:200], allowed))
    return got


def hold():
    print("holding", flush=True)
    time.sleep(600)


# ---- slowness ----

def slow(path):
    """Bytes that drip, a header and a body that never end: all are cut off, none is answered 200."""
    starts = {
        "dripping header": b"GET /healthz HTTP/1.1\r\nHost: ",
        "unfinished header": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        "unfinished body": b"POST /v1/images HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        "unfinished chunk": b"POST /v1/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
        "nothing": b"",
    }
    peers = {}
    for name, start in starts.items():
        for _ in range(40):
            peer = connect(path)
            peer.sendall(start)
            peers[peer] = name
    print("holding", flush=True)
    end = time.monotonic() + PATIENCE
    while peers:
        must(time.monotonic() < end, "after %d s %s is still served" % (PATIENCE, set(peers.values())))
        for peer in select.select(list(peers), [], [], 0.1)[0]:
            got = read_all(peer)
            must(status(got) != 200, "%s was answered" % peers[peer])
            del peers[peer]
            peer.close()
        for peer, name in peers.items():
            if name == "dripping header":
                send(peer, b"x")


# ---- size ----

def endless(path, start, piece, name):
    """Sends `piece` again and again: the service must end it long before 64 MiB."""
    with connect(path) as peer:
        sent, whole = len(start), send(peer, start)
        while whole and sent < 64 << 20:
            whole = send(peer, piece)
            sent += len(piece)
        must(not whole, "%s: took %d MiB" % (name, sent >> 20))
        must(status(read_all(peer)) in (0, 400, 413), name + ": was answered")


def oversize(path):
    ten = b"x" * (10 << 20)
    must_answer(path, "request line", b"GET /" + ten + b" HTTP/1.1\r\nHost: x\r\n\r\n", 0, 413)
    must_answer(path, "header", b"GET / HTTP/1.1\r\nX: " + ten + b"\r\n\r\n", 0, 413)
    must_answer(path, "many headers", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000000 + b"\r\n", 0, 413)
    must_answer(path, "body", post(ten), 0, 413)
    chunked = b"POST /v1/images HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    must_answer(path, "chunked body", chunked + b"a00000\r\n" + ten + b"\r\n0\r\n\r\n", 0, 413)
    endless(path, chunked + b"1;x=", b"y" * 65536, "chunk extension")
    endless(path, chunked, b"1;a=b\r\nx\r\n" * 6000, "small chunks")
    endless(path, chunked + b"0\r\n", b"X: y\r\n" * 10000, "trailers")
    endless(path, b"GET / HTTP/1.1\r\nX: ", b"y" * 65536, "header")


# ---- nonsense ----

def malformed(path):
    chunked = b"POST /v1/images HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    good = b'{"reference":""}'
    for name, data in {
        "binary": bytes(range(256)) * 8,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        "no version": b"GET /healthz\r\n\r\n",
        "version": b"GET /healthz HTTP/9.9\r\n\r\n",
        "bare newlines": b"GET /healthz HTTP/1.1\n\n",
        "NUL in target": b"GET /heal\x00thz HTTP/1.1\r\nHost: x\r\n\r\n",
        "NUL in header": b"GET /healthz HTTP/1.1\r\nHost: \x00\r\n\r\n",
        "space in header name": b"GET /healthz HTTP/1.1\r\nHo st: x\r\n\r\n",
        "negative length": b"POST /v1/images HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "two lengths": b"POST /v1/images HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\n{}",
        "huge length": b"POST /v1/images HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "length and chunked": b"POST /v1/images HTTP/1.1\r\nContent-Length: 2\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\n{}",
        "bad chunk size": chunked + b"zz\r\n{}\r\n0\r\n\r\n",
        "huge chunk size": chunked + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "negative chunk": chunked + b"-1\r\n{}\r\n0\r\n\r\n",
        "chunk longer than said": chunked + b"1\r\n{}}}}}\r\n0\r\n\r\n",
    }.items():
        must_answer(path, name, data, 0, 400, 413)
    for name, body in {
        "empty": b"", "number": b"1", "array": b"[]", "null": b"null", "text": b"hello",
        "deep": b"[" * 12000, "deep objects": b'{"a":' * 3000, "not UTF-8": b'{"reference":"\xff\xfe"}',
        "lone surrogate": b'{"reference":"\\ud800"}', "wrong type": b'{"reference":{}}',
        "NUL": b'{"reference":"a\\u0000b"}', "two": b'{"reference":"a"}{"reference":"b"}',
        "number as text": b'{"reference":1e999}', "no reference": b"{}", "empty reference": good,
        "long reference": json.dumps({"reference": "docker://x/" + "y" * 2000}).encode(),
        "long platform": json.dumps({"reference": "docker://x/y", "platform": "z" * 65}).encode(),
        "unknown pull": b'{"reference":"docker://x/y","pull":"perhaps"}',
    }.items():
        # A reference with NUL is work that fails at once; everything else is refused by itself.
        got = must_answer(path, name, post(body), *((202, 400) if name == "NUL" else (400,)))
        must(b'"code":"' in got or status(got) == 202, "%s: no code in %r" % (name, got))
    must_answer(path, "chunked is understood", chunked + b"%x;ext=1\r\n%s\r\n0\r\n\r\n" % (len(good), good), 400)
    # HTTP/1.0 without Host is old, not wrong.
    must_answer(path, "HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", 200)
    many = ask(path, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
    must(many.count(b"HTTP/1.1 200 ") == 2000, "only %d of 2000 pipelined answers" % many.count(b"HTTP/1.1 200 "))


def unknown(path):
    """Ids and paths that mean nothing."""
    for target in ("/v1/images/" + "f" * 32, "/v1/images/" + "f" * 32 + "/events", "/v1/images/..",
                   "/v1/images/../../etc/passwd", "/v1/images/%2e%2e%2fetc", "/v1/images/" + "9" * 4000,
                   "/v1/images/\xff\xfe/events", "/v1/images//events", "/v1", "/", "//", "/v2/images", "*"):
        must_answer(path, target[:60], get(target), 404, 400)
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"):
        must_answer(path, method, get("/v1/images", method), 405, 400)


# ---- identity ----

def forge(path, image):
    """Whatever a request claims, it is the kernel that says who asks."""
    claims = "X-Uid: 0\r\nUid: 0\r\nX-Forwarded-User: root\r\nSlipway-Uid: 0\r\nRemote-User: root\r\n" \
             "Authorization: Basic cm9vdDo=\r\n"
    for target in ("/v1/images/%s", "/v1/images/%s?force", "/v1/images/%s?force&uid=0"):
        got = must_answer(path, target, get(target % image, "DELETE", claims), 403)
        must(b"policy-denied" in got, "no reason: %r" % got)
    for verb in ("pin", "unpin"):
        must_answer(path, verb, get("/v1/images/%s/%s" % (image, verb), "POST",
                                    claims + "Content-Length: 0\r\n"), 403)
    for field in ("uid", "user", "gid", "path", "store", "credentials", "options"):
        got = must_answer(path, field, post({"reference": "docker://x/y", field: 0}, claims), 400)
        must(b"unknown field" in got, "%s was taken: %r" % (field, got))


def cancel(path, reference):
    """Tries to end work of somebody else: by method, by listening and leaving, by asking oddly."""
    job = body_of(ask(path, post({"reference": reference})))["id"]
    for method in ("DELETE", "POST", "PUT"):
        for action in ("", "/cancel", "/events", "?force"):
            got = ask(path, get("/v1/images/" + job + action, method))
            must(status(got) in (400, 403, 404, 405), "%s %s: %r" % (method, action, got[:200]))
    for _ in range(50):
        with connect(path) as peer:
            peer.sendall(get("/v1/images/" + job + "/events"))
            peer.recv(64)


def work_of(path):
    """References of the work that the service shows to whoever asks."""
    for job in body_of(ask(path, get("/v1/images")))["work"]:
        print(job["reference"])


def guess(path, reference, known):
    """What somebody else asked for: by ids made from its name, and by its real id, are the answers
    those of work that never was?"""
    never = "f" * 32
    ids = [known] + [hashlib.sha256((pull + "\n\n" + reference).encode()).hexdigest()[:32]
                     for pull in ("missing", "always", "never")]
    for job in ids:
        for tail in ("", "/events"):
            got = ask(path, get("/v1/images/" + job + tail))
            expected = ask(path, get("/v1/images/" + never + tail))
            must(status(got) == 404 and got.replace(job.encode(), never.encode()) == expected,
                 "%s%s: %r" % (job, tail, got[:300]))


# ---- number ----

def idle(path, count):
    """More connections than one user may have: a bounded number is held, then they are refused."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poll, peers = select.poll(), {}
    while len(peers) < int(count):
        for _ in range(500):
            peer = connect(path)
            peers[peer.fileno()] = peer
            poll.register(peer, select.POLLIN)
        for ready, _ in poll.poll(100):
            said = read_all(peers[ready])
            poll.unregister(ready)
            if said:
                must(status(said) == 503 and b'"code":"service-busy"' in said, "refused by %r" % said)
                return hold()
    must(False, "%d connections were all accepted" % len(peers))


def references(path, prefix, count, last):
    """Different images, more than are served at once, and one that others want behind them."""
    names = ["%s/some%d:1" % (prefix, number) for number in range(int(count))] + [last]
    for name in names:
        must_answer(path, name, post({"reference": name, "detach": True}), 202)


def references_without_end(path, prefix, count):
    """Different images without end: some are taken, then the user has to wait."""
    answers = {}
    for number in range(int(count)):
        got = ask(path, post({"reference": "%s/many%d:1" % (prefix, number), "detach": True}))
        answers[status(got)] = answers.get(status(got), 0) + 1
        must(status(got) != 429 or (b"service-busy" in got and b'"hint":"wait' in got), "%r" % got)
    must(set(answers) == {202, 429} and answers[202] <= 300, "answered %r" % answers)


def failing(path, prefix, count):
    """Images that fail at once, one after the other: what is remembered of them is bounded."""
    with connect(path) as peer:
        for start in range(0, int(count), 200):
            request = b"".join(post({"reference": "%s/%s%d:1" % (prefix, "x" * 900, number)})
                               .replace(b"Connection: close\r\n", b"")
                               for number in range(start, start + 200))
            peer.sendall(request)
            got = b""
            while got.count(b"HTTP/1.1 ") < 200 or not got.endswith(b"}\n"):
                chunk = peer.recv(1 << 20)
                must(chunk, "the connection broke")
                got += chunk


def many_keys(path, seconds):
    """Bodies that cost a careless parser much more than their size."""
    body = b"{" + b",".join(b'"%x":0' % number for number in range(1600)) + b"}"
    must(len(body) < 16384, "too large to be taken")
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        must_answer(path, "many keys", post(body), 0, 400, 413)


def deaf(path, reference, count):
    """Listeners that never read what they asked for."""
    job = body_of(ask(path, post({"reference": reference, "detach": True})))["id"]
    peers = []
    for _ in range(int(count)):
        peer = connect(path)
        peer.sendall(get("/v1/images/" + job + "/events") * 3)
        peers.append(peer)
        peer = connect(path)
        # Many answers that nobody takes.
        peer.setblocking(False)
        try:
            peer.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 4000)
        except BlockingIOError:
            pass
        peers.append(peer)
    hold()


def tarpit(_, port):
    """A registry that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", int(port)), backlog=512) as listener:
        print("holding", flush=True)
        kept = []
        while True:
            kept.append(listener.accept())


# ---- text that is not what it seems ----

# Marks of writing direction and width, a byte-order mark, line ends of Unicode, C0 and C1 controls.
DISGUISES = ["\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\u2028", "\u00ad", "\x9b", "\x85", "\x1b[31m", "\n", "\r"]


def unprintable(raw):
    """What a terminal would act on instead of showing it; bytes that are no UTF-8, too."""
    text = raw.decode("utf-8", "surrogateescape")
    return {char for char in text if char != "\n" and unicodedata.category(char)[0] in "CZ" and char != " "}


def must_show(path, name, answer):
    """The answer, and what is said later about the work that it began, if it did."""
    body = answer.split(b"\r\n\r\n", 1)[1]
    must(not unprintable(body.replace(b"\r\n", b"\n")), "%s: unprintable %r" % (name, body[:500]))
    must(b"\nEND" not in body, "%s: a name has a line of its own: %r" % (name, body[:500]))
    if status(answer) == 202:
        work = "/v1/images/" + json.loads(body)["id"]
        for target in (work + "/events", work, "/v1/images"):
            must_show(path, name + target, ask(path, get(target)))
    return status(answer)


def disguises(path, registry):
    """Wherever the service takes text, raw and as an escape of JSON: what comes back is one printable line."""
    for mark in DISGUISES:
        evil = "evil" + mark + "END"
        for encode in (json.dumps, lambda body: json.dumps(body, ensure_ascii=False)):
            for body in ({"reference": "docker://%s/%s:1" % (registry, evil)},
                         {"reference": "docker://%s/busybox:%s" % (registry, evil)},
                         {"reference": "docker://%s/busybox:1" % evil}, {"reference": evil + "://x/y"},
                         {"reference": "docker://%s/busybox:1" % registry, "platform": "linux/" + evil},
                         {"reference": "docker://%s/busybox:1" % registry, "pull": evil},
                         {"reference": "docker://%s/busybox:1" % registry, evil: 1}):
                must_show(path, repr(body), ask(path, post(encode(body).encode())))
        # A mark that is a line end in HTTP ends what it stands in.
        raw = mark.encode() if mark not in "\r\n" else b"%0a"
        for target in (b"/evil" + raw, b"/v1/images/evil" + raw + b"END", b"/v1/images/evil" + raw + b"/events"):
            answer = ask(path, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            must(must_show(path, repr(target), answer) in (400, 404), repr(target))
        answer = ask(path, get("/v1/images", headers="Slipway-Api: evil").replace(b"evil", b"evil" + raw))
        must_show(path, "version " + repr(raw), answer)


def printable(_, *files):
    """For the test: nothing in these files that a terminal would act on, no line that began in a name."""
    for file in files:
        with open(file, "rb") as opened:
            raw = opened.read()
        must(raw, file + " is empty")
        must(not unprintable(raw), "%s: %r" % (file, unprintable(raw)))
        must(not re.search(rb"^END", raw, re.M), "%s: a name has a line of its own" % file)


def main():
    attacks = (slow, oversize, malformed, unknown, forge, cancel, work_of, guess, idle, references,
               references_without_end, failing, many_keys, deaf, tarpit, disguises, printable)
    name, *arguments = sys.argv[1:]
    {attack.__name__: attack for attack in attacks}[name](*arguments)


main()
