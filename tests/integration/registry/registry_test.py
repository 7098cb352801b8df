#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sources against a real registry, also through a proxy that breaks things. Usage:
registry_test.py FETCH_TOOL [unittest arguments]"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../support"))
sys.path.insert(0, HERE)
import faultproxy  # noqa: E402
import registries  # noqa: E402

FETCH_TOOL = ""
MIB = 1 << 20
BLOBS = "/blobs/"


class Result:
    def __init__(self, done, seconds):
        self.good = done.returncode == 0
        self.error = done.stderr.strip()
        self.data = json.loads(done.stdout) if self.good else {}
        self.seconds = seconds

    @property
    def layers_good(self):
        return self.good and all(layer["good"] for layer in self.data["layers"])


class RegistryTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="slipway-registry.")
        cls.plain = registries.Registry(cls.dir + "/plain")
        cls.secure = registries.Registry(cls.dir + "/secure", login="me:p:w")
        cls.layout = registries.Layout(cls.dir + "/layout")
        app = cls.layout.image([3 * MIB, 2 * MIB, 1, 4 * MIB])
        cls.layout.name(app, "app")
        arm = cls.layout.image([1000], "arm64")
        cls.layout.name(cls.layout.index([app, arm]), "multi")
        for registry in (cls.plain, cls.secure):
            registry.push(cls.layout, "app", "team/app:1")
            registry.push(cls.layout, "multi", "team/app:multi")
        cls.app, cls.arm = app, arm

    @classmethod
    def tearDownClass(cls):
        cls.plain.close()
        cls.secure.close()
        shutil.rmtree(cls.dir)

    def setUp(self):
        self.cleanup = []

    def tearDown(self):
        for server in self.cleanup:
            server.close()

    def proxy(self, *rules, upstream=None):
        made = faultproxy.Proxy(upstream or "http://" + self.plain.host, rules)
        self.cleanup.append(made)
        return made

    def tokens(self, **options):
        made = faultproxy.TokenService(**options)
        self.cleanup.append(made)
        return made

    def config(self, text):
        path = tempfile.mktemp(dir=self.dir, suffix=".yaml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def fetch(self, host, name="team/app:1", environment=None, **options):
        options = dict({"no_https": 1, "delay_ms": 10, "platform": "linux/amd64", "spool": self.dir}, **options)
        words = ["%s=%s" % item for item in options.items() if item[1] is not None]
        env = dict({"PATH": os.environ["PATH"]}, **(environment or {}))
        begin = time.monotonic()
        done = subprocess.run([FETCH_TOOL, "docker://%s/%s" % (host, name), *words],
                              capture_output=True, text=True, timeout=120, check=False, env=env)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return Result(done, time.monotonic() - begin)

    def assert_good(self, result):
        self.assertTrue(result.layers_good, result.error or result.data)
        self.assertEqual(result.data["manifest"], self.app["digest"])

    def assert_fails(self, result, *texts):
        self.assertFalse(result.good, result.data)
        for text in texts:
            self.assertIn(text, result.error)

    # --- a registry that works

    def test_plain(self):
        result = self.fetch(self.plain.host)
        self.assert_good(result)
        self.assertFalse(result.data["credentials"])
        self.assertEqual(result.data["received"], result.data["total"])
        self.assertEqual(result.data["reference"],
                         "docker://%s/team/app:1@%s" % (self.plain.host, self.app["digest"]))

    def test_head_and_index(self):
        head = self.fetch(self.plain.host, head=1)
        self.assertEqual(head.data, {"digest": self.app["digest"], "index": False})
        multi = self.fetch(self.plain.host, "team/app:multi", head=1)
        self.assertTrue(multi.data["index"])
        for platform, entry in (("linux/amd64", self.app), ("linux/arm64", self.arm)):
            result = self.fetch(self.plain.host, "team/app:multi", platform=platform)
            self.assertEqual(result.data["manifest"], entry["digest"])
            self.assertEqual(result.data["root"], multi.data["digest"])
        self.assert_fails(self.fetch(self.plain.host, "team/app:multi", platform="linux/s390x"),
                          "platform-mismatch")

    def test_registries_that_know_no_head(self):
        for code in (400, 403, 404, 405, 500, 501):
            proxy = self.proxy({"do": "status", "method": "HEAD", "code": code})
            head = self.fetch(proxy.host, head=1)
            self.assertEqual(head.data, {"digest": self.app["digest"], "index": False}, (code, head.error))
        denied = self.proxy({"do": "status", "method": "HEAD", "code": 401})
        self.assert_fails(self.fetch(denied.host, head=1), "source-denied")
        self.assertEqual(denied.seen("GET", "manifests"), [])

    def test_spellings_have_the_settings_of_the_registry(self):
        site = self.config('registries: {"%s": {insecure: true}}' % self.plain.host)
        port = self.plain.host.rpartition(":")[2]
        for host in ("127.0.0.1:0" + port, "127.1:" + port, "0x7F.0.0.1:" + port):
            result = self.fetch(host, no_https=None, config=site)
            self.assert_good(result)
            self.assertIn("//%s/" % self.plain.host, result.data["reference"])

    def test_by_digest(self):
        self.assert_good(self.fetch(self.plain.host, "team/app@" + self.app["digest"]))

    def test_unknown(self):
        self.assert_fails(self.fetch(self.plain.host, "team/app:no"), "source-not-found", "MANIFEST_UNKNOWN")
        self.assert_fails(self.fetch(self.plain.host, "team/none:1"), "source-not-found")

    def test_small_spool_and_parallelism(self):
        for budget in (0, 100_000, 3 * MIB):
            for parallel in (1, 2, 4):
                self.assert_good(self.fetch(self.plain.host, budget=budget, parallel=parallel, slow_us=500))

    def test_plain_http_needs_permission(self):
        self.assert_fails(self.fetch(self.plain.host, no_https=None), "source-unreachable", "insecure: true")
        site = self.config('registries: {"%s": {insecure: true}}' % self.plain.host)
        self.assert_good(self.fetch(self.plain.host, no_https=None, config=site))

    def test_service_refuses_inner_addresses(self):
        result = self.fetch(self.plain.host, service=1)
        self.assert_fails(result, "source-denied", "loopback")
        site = self.config('registries: {"%s": {insecure: true}}' % self.plain.host)
        self.assert_good(self.fetch(self.plain.host, service=1, no_https=None, config=site))

    def test_cancel(self):
        proxy = self.proxy({"do": "drip", "path": BLOBS, "bytes": 100, "pause": 0.01})
        result = self.fetch(proxy.host, cancel_ms=300)
        self.assert_fails(result, "interrupted")
        self.assertLess(result.seconds, 3)

    # --- TLS and passwords

    def secure_fetch(self, **options):
        site = self.config('registries: {"%s": {ca_file: %s}}'
                           % (self.secure.host, self.secure.file("ca.pem")))
        return self.fetch(self.secure.host, **dict({"config": site, "no_https": None}, **options))

    def test_certificates_are_checked(self):
        result = self.fetch(self.secure.host, no_https=None)
        self.assert_fails(result, "source-denied", "certificate", "ca_file")
        self.assertLess(result.seconds, 5)
        login = {"SLIPWAY_DOCKER_USERNAME": "me", "SLIPWAY_DOCKER_PASSWORD": "p:w"}
        self.assert_good(self.fetch(self.secure.host, no_https=None,
                                    environment=dict(login, SSL_CERT_FILE=self.secure.file("ca.pem"))))

    def test_passwords(self):
        self.assert_fails(self.secure_fetch(), "source-denied", "UNAUTHORIZED")
        for prefix in ("SLIPWAY_DOCKER_", "SINGULARITY_DOCKER_", "APPTAINER_DOCKER_", "DOCKER_"):
            result = self.secure_fetch(environment={prefix + "USERNAME": "me", prefix + "PASSWORD": "p:w"})
            self.assert_good(result)
            self.assertTrue(result.data["own"])
        wrong = self.secure_fetch(environment={"DOCKER_USERNAME": "me", "DOCKER_PASSWORD": "hunter2"})
        self.assert_fails(wrong, "source-denied")
        self.assertNotIn("hunter2", wrong.error)

    def test_auth_files(self):
        authfile = self.dir + "/auth.json"
        subprocess.run(["skopeo", "login", "--authfile", authfile, "--tls-verify=false", "-u", "me",
                        "--password-stdin", self.secure.host], input="p:w", text=True, check=True,
                       capture_output=True)
        self.assert_good(self.secure_fetch(authfile=authfile))
        home = tempfile.mkdtemp(dir=self.dir)
        os.mkdir(home + "/.docker")
        shutil.copy(authfile, home + "/.docker/config.json")
        self.assert_good(self.secure_fetch(home=home))

    def test_site_password(self):
        password = self.config("p:w\n")
        site = self.config('registries: {"%s": {ca_file: %s, username: me, password_file: %s}}'
                           % (self.secure.host, self.secure.file("ca.pem"), password))
        result = self.secure_fetch(config=site, service=1)
        self.assert_good(result)
        self.assertTrue(result.data["credentials"])
        self.assertFalse(result.data["own"])

    # --- token services

    def test_anonymous_token(self):
        tokens = self.tokens()
        proxy = self.proxy({"do": "bearer", "realm": tokens.realm, "tokens": tokens.tokens})
        result = self.fetch(proxy.host)
        self.assert_good(result)
        self.assertFalse(result.data["credentials"])
        self.assertEqual(len(tokens.seen()), 1)
        self.assertIn("scope=repository%3Ateam%2Fapp%3Apull", tokens.seen()[0]["path"])

    def test_token_with_password(self):
        tokens = self.tokens(login="me:p:w", public=False)
        proxy = self.proxy({"do": "bearer", "realm": tokens.realm, "tokens": tokens.tokens})
        login = {"SLIPWAY_DOCKER_USERNAME": "me", "SLIPWAY_DOCKER_PASSWORD": "p:w"}
        result = self.fetch(proxy.host, environment=login)
        self.assert_good(result)
        self.assertTrue(result.data["own"])
        for request in proxy.seen():
            self.assertNotIn("Basic", request["headers"].get("authorization", ""))
        self.assert_fails(self.fetch(proxy.host), "source-denied")
        wrong = self.fetch(proxy.host, environment=dict(login, SLIPWAY_DOCKER_PASSWORD="hunter2"))
        self.assert_fails(wrong, "source-denied", "incorrect username or password")
        self.assertNotIn("hunter2", wrong.error)

    def test_401_for_ever(self):
        tokens = self.tokens()
        proxy = self.proxy({"do": "bearer", "realm": tokens.realm, "tokens": []})
        self.assert_fails(self.fetch(proxy.host), "source-denied")
        self.assertLessEqual(len(proxy.seen()), 4)

    def test_token_ends_in_the_middle(self):
        tokens = self.tokens()
        proxy = self.proxy({"do": "bearer", "realm": tokens.realm, "tokens": tokens.tokens})
        original = proxy.do_cut

        def cut_and_revoke(handler, body, rule):
            tokens.revoke()
            original(handler, body, rule)
        proxy.do_cut = cut_and_revoke
        proxy.rules.append({"do": "cut", "path": BLOBS, "after": 500_000, "times": 2, "skip": 1})
        self.assert_good(self.fetch(proxy.host))
        self.assertGreaterEqual(len(tokens.seen()), 2)

    # --- bad networks

    def test_cut_downloads_are_resumed(self):
        proxy = self.proxy({"do": "cut", "path": BLOBS, "after": 1_300_000})
        result = self.fetch(proxy.host)
        self.assert_good(result)
        self.assertEqual(result.data["received"], result.data["total"])
        ranges = [r["headers"]["range"] for r in proxy.seen("GET", BLOBS) if "range" in r["headers"]]
        self.assertIn("bytes=1300000-", ranges)
        self.assertIn("bytes=2600000-", ranges)

    def test_ranges_that_lie(self):
        for kind in ("range_lie", "range_ignore", "range_416"):
            with self.subTest(kind):
                proxy = self.proxy({"do": kind}, {"do": "cut", "path": BLOBS, "after": 700_000, "times": 4})
                self.assert_good(self.fetch(proxy.host))

    def test_busy_servers(self):
        for code in (408, 500, 502, 503, 504):
            proxy = self.proxy({"do": "status", "code": code, "times": 3})
            self.assert_good(self.fetch(proxy.host))
        proxy = self.proxy({"do": "status", "code": 503, "body": "maintenance until noon"})
        self.assert_fails(self.fetch(proxy.host), "source-unreachable", "maintenance until noon", "5 attempts")
        self.assertEqual(len(proxy.seen()), 5)

    def test_rate_limit(self):
        body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your limit"}]})
        proxy = self.proxy({"do": "status", "code": 429, "headers": {"Retry-After": "1"}, "body": body,
                            "times": 1})
        result = self.fetch(proxy.host)
        self.assert_good(result)
        self.assertGreaterEqual(result.seconds, 1)
        proxy = self.proxy({"do": "status", "code": 429, "headers": {"Retry-After": "86400"}, "body": body})
        result = self.fetch(proxy.host)
        self.assert_fails(result, "source-rate-limited", "You have reached your limit", "86400")
        self.assertEqual(len(proxy.seen()), 1)

    def test_wrong_lengths(self):
        for add in (-1000, 1000):
            proxy = self.proxy({"do": "length", "path": BLOBS, "add": add, "times": 1})
            self.assert_good(self.fetch(proxy.host))
        proxy = self.proxy({"do": "length", "path": BLOBS + "sha256", "add": 1000, "skip": 1})
        self.assert_fails(self.fetch(proxy.host), "digest-mismatch")

    def test_endless_bodies(self):
        proxy = self.proxy({"do": "endless", "path": BLOBS})
        result = self.fetch(proxy.host)
        self.assert_fails(result)
        self.assertLess(result.seconds, 10)
        proxy = self.proxy({"do": "endless", "path": "/manifests/"})
        self.assert_fails(self.fetch(proxy.host), "limit-exceeded")

    def test_wrong_bytes(self):
        proxy = self.proxy({"do": "corrupt", "path": "/manifests/", "at": 20})
        self.assert_fails(self.fetch(proxy.host), "digest-mismatch")
        proxy = self.proxy({"do": "corrupt", "path": BLOBS, "at": 20, "times": 1})
        self.assert_fails(self.fetch(proxy.host), "digest-mismatch")
        # Layers are checked by whoever reads them: the tool says which one is bad.
        proxy = self.proxy({"do": "corrupt", "path": BLOBS, "at": 20, "skip": 1})
        result = self.fetch(proxy.host)
        self.assertTrue(result.good)
        self.assertFalse(result.layers_good)

    def test_slow_drip(self):
        proxy = self.proxy({"do": "drip", "path": BLOBS, "bytes": 200_000, "pause": 0.05})
        self.assert_good(self.fetch(proxy.host))

    def test_memory_is_bounded(self):
        result = self.fetch(self.plain.host, slow_us=20_000, budget=0)
        self.assert_good(result)
        self.assertLess(result.data["max_rss_kib"], 64 * 1024)

    # --- redirects

    def test_redirects_lose_the_password(self):
        storage = self.proxy()
        tokens = self.tokens(login="me:p:w", public=False)
        proxy = self.proxy({"do": "bearer", "realm": tokens.realm, "tokens": tokens.tokens},
                           {"do": "redirect", "path": BLOBS, "to": storage.url})
        login = {"SLIPWAY_DOCKER_USERNAME": "me", "SLIPWAY_DOCKER_PASSWORD": "p:w"}
        self.assert_good(self.fetch(proxy.host, environment=login))
        self.assertGreaterEqual(len(storage.seen()), 4)
        for request in storage.seen():
            self.assertNotIn("authorization", request["headers"])

    def test_redirected_downloads_are_resumed(self):
        storage = self.proxy({"do": "cut", "path": BLOBS, "after": 900_000})
        proxy = self.proxy({"do": "redirect", "path": BLOBS, "to": storage.url, "code": 302})
        self.assert_good(self.fetch(proxy.host))
        self.assertIn("bytes=900000-", [r["headers"].get("range") for r in storage.seen()])

    def test_relative_redirects_climb(self):
        proxy = self.proxy({"do": "climb", "path": r"^/v2/team/app/blobs/(?![^/]+\?followed=1$)"})
        self.assert_good(self.fetch(proxy.host))
        self.assertTrue(proxy.seen(path="followed=1"))

    def test_redirect_loops_end(self):
        proxy = self.proxy({"do": "redirect", "path": BLOBS, "to": ""})
        self.assert_fails(self.fetch(proxy.host), "source-protocol", "redirects more than 10 times")

    def test_redirects_to_strangers_by_plain_http(self):
        storage = self.proxy()
        proxy = self.proxy({"do": "redirect", "path": BLOBS, "to": "http://localhost:%d" % storage.port})
        site = self.config('registries: {"%s": {insecure: true}}' % proxy.host)
        self.assert_fails(self.fetch(proxy.host, config=site, no_https=None), "source-protocol")
        self.assertEqual(storage.seen(), [])

    # --- mirrors

    def test_mirrors(self):
        mirror = self.proxy()
        dead = registries.free_port()
        site = self.config(
            'registries: {"registry.invalid": {mirrors: ["127.0.0.1:%d", "%s"]}, '
            '"127.0.0.1:%d": {insecure: true}, "%s": {insecure: true}}' % (dead, mirror.host, dead, mirror.host))
        result = self.fetch("registry.invalid", config=site, no_https=None)
        self.assert_good(result)
        self.assertEqual(result.data["endpoint"], mirror.host)

    # --- local sources, written by others

    def test_archives_by_skopeo(self):
        for kind in ("oci-archive", "docker-archive"):
            path = "%s/%s.tar" % (self.dir, kind)
            registries.run("skopeo", "copy", "--quiet", "oci:%s:app" % self.layout.path,
                           "%s:%s:team/app:1" % (kind, path))
            for suffix, tool in (("", None), (".gz", "gzip"), (".zst", "zstd")):
                if tool and not shutil.which(tool):
                    continue
                if tool:
                    with open(path, "rb") as source, open(path + suffix, "wb") as out:
                        subprocess.run([tool, "-c"], stdin=source, stdout=out, check=True)
                done = subprocess.run([FETCH_TOOL, "%s:%s" % (kind, path + suffix), "spool=" + self.dir,
                                       "platform=linux/amd64"],
                                      capture_output=True, text=True, check=False)
                result = Result(done, 0)
                self.assertTrue(result.layers_good, done.stderr)
                self.assertEqual(len(result.data["layers"]), 4)
                self.assertEqual(result.data["origin"], kind)

    def test_layout(self):
        done = subprocess.run([FETCH_TOOL, "oci:%s:multi" % self.layout.path, "platform=linux/arm64"],
                              capture_output=True, text=True, check=False)
        result = Result(done, 0)
        self.assertTrue(result.layers_good, done.stderr)
        self.assertEqual(result.data["manifest"], self.arm["digest"])


if __name__ == "__main__":
    missing = registries.missing_tools()
    if missing:
        print("SKIPPED: not installed: " + ", ".join(missing))
        sys.exit(1 if os.environ.get("REQUIRE_ALL") == "1" else 77)
    FETCH_TOOL = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
