#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A reverse proxy before a registry that misbehaves on demand, for tests. Python 3 standard library.

As a module: Proxy(upstream) with rules; as a program:
  faultproxy.py --upstream http://127.0.0.1:5000 [--listen PORT] [--rules FILE] [--log FILE]
prints its port and runs until it is killed. FILE holds a JSON list of rules.

A rule is a dict. Which requests: "method" (default any), "path" (regular expression searched in the
request target), "times" (how often; default always), "skip" (let that many pass first). What happens:
  {"do": "cut", "after": N}            the body ends after N bytes, with the true Content-Length
  {"do": "length", "add": N}           Content-Length is off by N
  {"do": "corrupt", "at": N}           one bit of byte N is turned
  {"do": "drip", "bytes": N, "pause": S}    N bytes, then S seconds of rest, and so on
  {"do": "stall", "after": N, "pause": S}   S seconds of silence after N bytes, then the end
  {"do": "status", "code": C, "headers": {}, "body": ""}   that answer
  {"do": "redirect", "to": URL, "code": C}  to URL + request target
  {"do": "climb"}                      to the same file by a relative path with "..", ?followed=1 behind it
  {"do": "range_lie"}                  a range is answered with one that begins 10 bytes earlier
  {"do": "range_ignore"}               ranges are not understood
  {"do": "range_416"}                  ranges are refused
  {"do": "endless"}                    the true body, then bytes for ever, without a length
  {"do": "bearer", "realm": URL, "tokens": [..]}   401 with a Bearer challenge unless a token fits
Any rule with "tokens" (a list, or in a program a function) leaves requests alone that bring one of them.
"""
import argparse
import base64
import http.client
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_any(self):
        owner = self.server.owner
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        owner.remember(self, body)
        try:
            owner.answer(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_any

    def reply(self, code, headers, body=b"", length=None):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class Base:
    """A server on loopback that remembers its requests."""

    def __init__(self, port=0, log=None):
        self.lock = threading.Lock()
        self.requests = []
        self.log = log
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.owner = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def host(self):
        return "127.0.0.1:%d" % self.port

    @property
    def url(self):
        return "http://" + self.host

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def remember(self, handler, body):
        entry = {"method": handler.command, "path": handler.path, "body": body.decode("latin-1"),
                 "headers": {name.lower(): value for name, value in handler.headers.items()}}
        with self.lock:
            self.requests.append(entry)
        if self.log:
            with open(self.log, "a", encoding="utf-8") as out:
                out.write(json.dumps(entry) + "\n")

    def seen(self, method=None, path=""):
        with self.lock:
            return [r for r in self.requests
                    if (method is None or r["method"] == method) and re.search(path, r["path"])]


class Proxy(Base):
    """Passes requests on to `upstream` ("http://host:port"), bent by rules."""

    def __init__(self, upstream, rules=(), **more):
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.rules = [dict(rule) for rule in rules]
        super().__init__(**more)

    def rule_for(self, handler):
        with self.lock:
            for rule in self.rules:
                if rule.get("method", handler.command) != handler.command:
                    continue
                if not re.search(rule.get("path", ""), handler.path):
                    continue
                if rule["do"].startswith("range_") and "Range" not in handler.headers:
                    continue
                if "tokens" in rule and self.token_fits(rule, handler):
                    continue
                if rule.get("skip", 0) > 0:
                    rule["skip"] -= 1
                    continue
                if rule.get("times", 1) <= 0:
                    continue
                if "times" in rule:
                    rule["times"] -= 1
                return rule
        return None

    @staticmethod
    def token_fits(rule, handler):
        given = handler.headers.get("Authorization", "")
        tokens = rule["tokens"]() if callable(rule["tokens"]) else rule["tokens"]
        return given in ["Bearer " + token for token in tokens]

    def fetch(self, handler, body, drop_range=False):
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {n: v for n, v in handler.headers.items()
                   if n.lower() not in ("host", "connection") and not (drop_range and n.lower() == "range")}
        connection.request(handler.command, handler.path, body=body or None, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = {n: v for n, v in answer.getheaders()
                if n.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server")}
        return answer.status, kept, content, answer.getheader("Content-Length")

    def answer(self, handler, body):
        rule = self.rule_for(handler)
        if rule is None:
            status, headers, content, length = self.fetch(handler, body)
            handler.reply(status, headers, content, length if handler.command == "HEAD" else None)
            return
        getattr(self, "do_" + rule["do"])(handler, body, rule)

    def do_status(self, handler, _, rule):
        handler.reply(rule["code"], rule.get("headers", {}), rule.get("body", "").encode())

    def do_redirect(self, handler, _, rule):
        handler.reply(rule.get("code", 307), {"Location": rule["to"] + handler.path})

    def do_climb(self, handler, _, rule):
        folder, name = handler.path.partition("?")[0].rsplit("/", 2)[1:]
        handler.reply(307, {"Location": "../%s/%s?followed=1" % (folder, name)})

    def do_bearer(self, handler, _, rule):
        scope = rule.get("scope", "repository:%s:pull" % "/".join(handler.path.split("/")[2:-2]))
        challenge = 'Bearer realm="%s",service="test",scope="%s"' % (rule["realm"], scope)
        body = json.dumps({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]})
        handler.reply(401, {"WWW-Authenticate": challenge}, body.encode())

    def do_cut(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body)
        handler.reply(status, headers, content[:rule["after"]], length=len(content))
        handler.close_connection = True

    def do_length(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body)
        handler.reply(status, headers, content, length=len(content) + rule["add"])
        handler.close_connection = True

    def do_corrupt(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body)
        bent = bytearray(content)
        bent[min(rule["at"], len(bent) - 1)] ^= 1
        handler.reply(status, headers, bytes(bent))

    def do_drip(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body)
        handler.reply(status, headers, b"", length=len(content))
        for at in range(0, len(content), rule["bytes"]):
            handler.wfile.write(content[at:at + rule["bytes"]])
            handler.wfile.flush()
            time.sleep(rule["pause"])

    def do_stall(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body)
        handler.reply(status, headers, content[:rule["after"]], length=len(content))
        handler.wfile.flush()
        time.sleep(rule["pause"])
        handler.close_connection = True

    def do_range_lie(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body, drop_range=True)
        start = max(0, int(re.match(r"bytes=(\d+)-", handler.headers["Range"]).group(1)) - 10)
        headers["Content-Range"] = "bytes %d-%d/%d" % (start, len(content) - 1, len(content))
        handler.reply(206, headers, content[start:])

    def do_range_ignore(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body, drop_range=True)
        handler.reply(status, headers, content)

    def do_range_416(self, handler, body, rule):
        handler.reply(416, {})

    def do_endless(self, handler, body, rule):
        status, headers, content, _ = self.fetch(handler, body)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        handler.wfile.write(content)
        while True:
            handler.wfile.write(b"x" * 65536)


class TokenService(Base):
    """Gives tokens: to anybody when `public`, else to those with the password ("user:password")."""

    def __init__(self, login=None, public=True, lifetime=300, **more):
        self.login = login
        self.public = public
        self.lifetime = lifetime
        self.good = set()
        self.made = 0
        super().__init__(**more)

    @property
    def realm(self):
        return self.url + "/token"

    def tokens(self):
        with self.lock:
            return list(self.good)

    def revoke(self):
        with self.lock:
            self.good.clear()

    def answer(self, handler, body):
        given = handler.headers.get("Authorization", "")
        wanted = "Basic " + base64.b64encode((self.login or "").encode()).decode()
        if given and given != wanted:
            handler.reply(401, {}, json.dumps({"details": "incorrect username or password"}).encode())
            return
        with self.lock:
            self.made += 1
            token = "token-%d" % self.made
            if given or self.public:
                self.good.add(token)
        answer = {"token": token, "expires_in": self.lifetime}
        handler.reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--listen", type=int, default=0)
    parser.add_argument("--rules")
    parser.add_argument("--log")
    args = parser.parse_args()
    rules = []
    if args.rules:
        with open(args.rules, encoding="utf-8") as source:
            rules = json.load(source)
    proxy = Proxy(args.upstream, rules, port=args.listen, log=args.log)
    print(proxy.port, flush=True)
    try:
        proxy.thread.join()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
