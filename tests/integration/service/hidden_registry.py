#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hidden_registry.py UPSTREAM PORT USER:PASSWORD: a registry that gives tokens to everybody, and answers 404
to those who came without the login, as if the image were not there. Prints its address and runs until killed."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "support"))
import faultproxy  # noqa: E402


class Tokens(faultproxy.TokenService):
    """Remembers anonymous tokens, too."""

    def everybodys(self):
        with self.lock:
            return ["token-%d" % number for number in range(1, self.made + 1)]


def main():
    upstream, port, login = sys.argv[1:]
    tokens = Tokens(login=login, public=False)
    missing = '{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}'
    rules = [{"do": "bearer", "realm": tokens.realm, "tokens": tokens.everybodys},
             {"do": "status", "code": 404, "body": missing, "tokens": tokens.tokens}]
    proxy = faultproxy.Proxy("http://" + upstream, rules, port=int(port))
    print(proxy.host, flush=True)
    proxy.thread.join()


if __name__ == "__main__":
    main()
