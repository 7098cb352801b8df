// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/protocol.hpp"
#include "launcher/join/request.hpp"

#include <catch2/catch.hpp>
#include <linux/sched.h>

using namespace slipway;
using namespace slipway::launcher::join;

namespace {

Request full_request() {
    Request request;
    request.image = "/images/debian.sif";
    request.reference = "docker://debian:12";
    request.mounts = {{MountSyntax::pyxis, "/a:/b:ro"}, {MountSyntax::mount_csv, "type=bind"}};
    request.scratch = {"/scratch"};
    request.no_mount = {"tmp", "/x"};
    request.workdir = "/work dir";
    request.cwd = "/home/u";
    request.home = "/h:/home/u";
    request.mount_home = Switch::off;
    request.writable = Switch::on;
    request.write_image = true;
    request.overlays = {{"/over", false}, {"tools.sqsh", true}};
    request.containment = Containment::contain_all;
    request.namespaces = {true, false, true, true, true, "box"};
    request.fake_root = true;
    request.dns = {"192.0.2.1"};
    request.work_area = "/w";
    request.nv = true;
    request.rocm = true;
    request.clean_environment = true;
    request.shell_evaluation = false;
    request.keep_environment = {"A", "B"};
    request.set_environment = {{"K", "v=1"}, {"E", ""}};
    request.environment = {"PATH=/bin", "LANG=C"};
    request.required_files = {"/spool/slurm_script"};
    request.hostname_text = "node1";
    request.job_id = 77;
    request.step_id = 0xfffffffb;
    return request;
}

} // namespace

TEST_CASE("a request survives the way to the launcher", "[join]") {
    const auto sent = full_request();
    const auto got = decode_request(encode(sent));
    REQUIRE(got);
    CHECK(*got == sent);
    auto other = sent;
    other.step_id = 0; // the last field counts, too
    CHECK_FALSE(other == sent);
    CHECK(encode(other) != encode(sent));
}

TEST_CASE("an image of the site's store is named by an id and no path", "[join]") {
    const std::string id(64, 'a');
    auto request = full_request();
    request.image.clear();
    request.image_id = id;
    const auto got = decode_request(encode(request));
    REQUIRE(got);
    CHECK(got->image_id == id);
    request.image_store = "/home/me/store";
    REQUIRE(decode_request(encode(request)));
    CHECK(decode_request(encode(request))->image_store == "/home/me/store");
    request.image_store = "store";
    CHECK_FALSE(decode_request(encode(request)));
    request.image_store.clear();
    request.image = "/images/debian.sif";
    CHECK_FALSE(decode_request(encode(request)));
    request.image.clear();
    for (const auto& bad :
         {std::string("../../etc"), std::string("a"), std::string(63, 'a'), std::string(65, 'a'),
          std::string(63, 'a') + "/", std::string(64, 'A')}) {
        CAPTURE(bad);
        request.image_id = bad;
        CHECK_FALSE(decode_request(encode(request)));
    }
}

TEST_CASE("every cut and every extra byte of a request is refused", "[join]") {
    const auto bytes = encode(full_request());
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        REQUIRE_FALSE(decode_request(std::string_view(bytes).substr(0, length)));
    }
    CHECK_FALSE(decode_request(bytes + "x"));
}

TEST_CASE("a request with a NUL inside a string is refused", "[join]") {
    auto request = full_request();
    request.image = std::string("/a\0/b", 5);
    CHECK_FALSE(decode_request(encode(request)));
}

TEST_CASE("a request longer than the limit is refused before it is read", "[join]") {
    const std::string bytes(max_request_bytes + 1, 'x');
    const auto got = decode_request(bytes);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == base::Code::limit_exceeded);
}

TEST_CASE("a join record keeps the order of its changes and what is unset", "[join]") {
    JoinRecord record;
    record.environment = {{"PATH", "/usr/bin"}, {"LD_LIBRARY_PATH", std::nullopt}, {"E", ""}};
    record.cwd = "/home/u";
    record.cwd_was_asked_for = true;
    record.image_name = "debian.sif";
    const auto got = decode_join_record(encode(record));
    REQUIRE(got);
    REQUIRE(got->environment.size() == 3);
    CHECK(got->environment[0].value == "/usr/bin");
    CHECK_FALSE(got->environment[1].value);
    CHECK(got->environment[2].value == "");
    CHECK(got->cwd == "/home/u");
    CHECK(got->cwd_was_asked_for);
    CHECK(got->image_name == "debian.sif");
    record.environment = {{"A=B", "c"}};
    CHECK_FALSE(decode_join_record(encode(record)));
    record.environment = {{"", "c"}};
    CHECK_FALSE(decode_join_record(encode(record)));
}

TEST_CASE("an error keeps its parts and is cut where it is too long", "[join]") {
    const auto got = decode_error(
        encode(base::Error{base::Code::mount_failed, 13, std::string(5000, 'm'), "look"}));
    CHECK(got.code == base::Code::mount_failed);
    CHECK(got.sys_errno == 13);
    CHECK(got.message == std::string(2048, 'm'));
    CHECK(got.hint == "look");
    CHECK(decode_error("rubbish").code == base::Code::launcher_failed);
    CHECK(decode_error("").code == base::Code::launcher_failed);
}

TEST_CASE("ready names known namespaces, the user namespace first", "[join]") {
    const auto good = decode_ready(encode(ReadyBody{{CLONE_NEWUSER, CLONE_NEWNS}}));
    REQUIRE(good);
    CHECK(good->namespaces == std::vector<std::uint32_t>{CLONE_NEWUSER, CLONE_NEWNS});
    CHECK_FALSE(decode_ready(encode(ReadyBody{{CLONE_NEWNS, CLONE_NEWUSER}})));
    CHECK_FALSE(decode_ready(encode(ReadyBody{{CLONE_NEWUSER, CLONE_NEWUSER}})));
    CHECK_FALSE(decode_ready(encode(ReadyBody{{CLONE_NEWUSER, 0x1234}})));
    CHECK_FALSE(decode_ready(encode(ReadyBody{})));
    CHECK_FALSE(decode_ready(encode(ReadyBody{{CLONE_NEWUSER}}) + "x"));
    CHECK_FALSE(decode_ready("\xff\xff\xff\xff"));
}

TEST_CASE("messages travel with type, body and descriptors", "[join]") {
    auto ends = base::packet_pair();
    REQUIRE(ends);
    const int null[] = {0};
    REQUIRE(send_message(ends->first.get(), MessageType::warning, "text", null));
    auto got = recv_message(ends->second.get(), 1000);
    REQUIRE(got);
    CHECK(got->type == MessageType::warning);
    CHECK(got->body == "text");
    CHECK(got->fds.size() == 1);

    const auto late = recv_message(ends->second.get(), 10);
    REQUIRE_FALSE(late);
    CHECK(late.error().code == base::Code::timed_out);

    CHECK_FALSE(
        send_message(ends->first.get(), MessageType::failed, std::string(max_message_bytes, 'x')));
    REQUIRE(base::send_packet(ends->first.get(), "not ours"));
    const auto strange = recv_message(ends->second.get(), 1000);
    REQUIRE_FALSE(strange);
    CHECK(strange.error().code == base::Code::launcher_failed);

    // One bad message of any kind, and the next good one arrives.
    const std::string bad[] = {"", "x", std::string(8, '\0'), std::string("SPWY\1\0\x7f\0", 8),
                               std::string(max_message_bytes + 1, 'x')};
    for (const auto& bytes : bad) {
        CAPTURE(bytes.size());
        REQUIRE(base::send_packet(ends->first.get(), bytes));
        REQUIRE(send_message(ends->first.get(), MessageType::join));
        const auto refused = recv_message(ends->second.get(), 1000);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == base::Code::launcher_failed);
        const auto good = recv_message(ends->second.get(), 1000);
        REQUIRE(good);
        CHECK(good->type == MessageType::join);
    }

    ends->first.reset();
    const auto closed = recv_message(ends->second.get(), 1000);
    REQUIRE_FALSE(closed);
    CHECK(closed.error().code == base::Code::launcher_lost);
    const auto unsent = send_message(ends->second.get(), MessageType::join);
    REQUIRE_FALSE(unsent);
    CHECK(unsent.error().code == base::Code::launcher_lost);
}
