// SPDX-License-Identifier: Apache-2.0
#include "base/copy_file.hpp"
#include "base/fd.hpp"
#include "base/pipe.hpp"
#include "base/temp_dir.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace slipway::base;

TEST_CASE("descriptors are closed once and moved whole") {
    auto file = open_file("/dev/null", O_RDONLY);
    REQUIRE(file);
    const int number = file->get();
    UniqueFd other = std::move(*file);
    CHECK(other.get() == number);
    CHECK_FALSE(bool(*file));
    CHECK((::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
    REQUIRE(other.close());
    CHECK(::fcntl(number, F_GETFD) == -1);
}

TEST_CASE("a pipe has two ends that no program inherits") {
    auto pipe = make_pipe();
    REQUIRE(pipe);
    CHECK((::fcntl(pipe->reader.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(pipe->writer.get(), F_GETFD) & FD_CLOEXEC) != 0);
    REQUIRE(write_all(pipe->writer.get(), "through"));
    pipe->writer.reset();
    CHECK(read_to_end(pipe->reader.get(), 100) == "through");
}

TEST_CASE("a missing file is an error that names it") {
    auto file = open_file("/nonexistent/file", O_RDONLY);
    REQUIRE_FALSE(file);
    CHECK(file.error().sys_errno == ENOENT);
    CHECK(file.error().message.find("/nonexistent/file") != std::string::npos);
}

TEST_CASE("packets carry text, descriptors and the sender") {
    auto pair = packet_pair();
    REQUIRE(pair);
    const int on = 1;
    REQUIRE(::setsockopt(pair->second.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    auto memory = sealed_memfd("test", "content");
    REQUIRE(memory);
    const int fds[] = {memory->get()};
    REQUIRE(send_packet(pair->first.get(), "body", fds));
    auto packet = recv_packet(pair->second.get(), 100, 1000);
    REQUIRE(packet);
    CHECK(packet->body == "body");
    CHECK(packet->pid == ::getpid());
    REQUIRE(packet->fds.size() == 1);
    CHECK((::fcntl(packet->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(read_to_end(packet->fds[0].get(), 100) == std::string("content"));
    CHECK(::write(packet->fds[0].get(), "x", 1) == -1);
}

TEST_CASE("long packets, silence and the end of a stream are distinguished") {
    auto pair = packet_pair();
    REQUIRE(pair);
    REQUIRE(send_packet(pair->first.get(), "too long"));
    auto packet = recv_packet(pair->second.get(), 3, 1000);
    REQUIRE_FALSE(packet);
    CHECK(packet.error().code == Code::limit_exceeded);
    auto silence = recv_packet(pair->second.get(), 3, 10);
    REQUIRE_FALSE(silence);
    CHECK(silence.error().code == Code::timed_out);
    pair->first.reset();
    auto end = recv_packet(pair->second.get(), 3, 1000);
    REQUIRE(end);
    CHECK(end->end_of_stream);
}

TEST_CASE("reads are bounded and exact") {
    auto dir = TempDir::create("slipway-fd-");
    REQUIRE(dir);
    auto file = open_file(dir->path() + "/f", O_RDWR | O_CREAT, 0600);
    REQUIRE(file);
    REQUIRE(write_all(file->get(), "0123456789"));
    std::uint8_t buffer[4] = {};
    REQUIRE(read_exact_at(file->get(), buffer, 6));
    CHECK(buffer[3] == '9');
    CHECK_FALSE(read_exact_at(file->get(), buffer, 7));
    auto content = read_file(dir->path() + "/f", 5);
    REQUIRE_FALSE(content);
    CHECK(content.error().code == Code::limit_exceeded);
}

TEST_CASE("a copy has as many bytes as were asked for") {
    const auto dir = *TempDir::create("copy");
    const auto open = [&](const char* name) {
        return *open_file(dir.path() + "/" + name, O_RDWR | O_CREAT, 0600);
    };
    const auto from = open("from");
    REQUIRE(write_all(from.get(), std::string(1U << 20U, 'a') + "end"));
    const auto to = open("to");
    std::uint64_t reported = 0;
    const std::uint64_t size = (1U << 20U) + 3;
    REQUIRE(copy_file(from.get(), to.get(), size - 1, {}, [&](std::uint64_t done) { reported = done; }));
    CHECK((reported == size - 1 || reported == 0)); // nothing is reported where blocks are shared
    CHECK(*read_file(dir.path() + "/to", 2U << 20U) == std::string(1U << 20U, 'a') + "en");
    CHECK(copy_file(from.get(), open("more").get(), size + 1, {}).error().code == Code::io);
    const UniqueFd memory(::memfd_create("copy", MFD_CLOEXEC));
    REQUIRE(copy_file(from.get(), memory.get(), 3, {})); // from one file system to another
    std::stop_source stop;
    stop.request_stop();
    CHECK(copy_file(from.get(), memory.get(), 3, stop.get_token()).error().code == Code::interrupted);
}
