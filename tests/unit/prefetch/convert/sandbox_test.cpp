// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/child/sandbox.hpp"

#include "base/child.hpp"
#include "base/seccomp.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace slipway;
using namespace slipway::prefetch::convert;

namespace {

/// How a process ends that does this inside the sandbox: its exit code, or minus the signal.
int inside(const std::function<int()>& body) {
    auto child = base::Child::fork([&] {
        if (!enter_sandbox()) {
            return 100;
        }
        return body();
    });
    REQUIRE(child);
    const auto status = child->wait();
    REQUIRE(status);
    return WIFSIGNALED(*status) ? -WTERMSIG(*status) : WEXITSTATUS(*status);
}

} // namespace

TEST_CASE("a conversion has what it needs") {
    CHECK(inside([] {
              std::vector<std::thread> threads;
              int sum[4] = {};
              for (int i = 0; i < 4; ++i) {
                  threads.emplace_back([&sum, i] {
                      pthread_setname_np(pthread_self(), "test");
                      sum[i] = static_cast<int>(std::vector<char>(8U << 20U, 'x').size() >> 23U);
                  });
              }
              for (auto& thread : threads) {
                  thread.join();
              }
              return sum[0] + sum[1] + sum[2] + sum[3];
          }) == 4);
    CHECK(inside([] {
              return set_bounds({64U << 20U, 1U << 20U, 100}) ? 0 : 1;
          }) == 0);
}

TEST_CASE("a conversion has nothing else") {
    if (!base::sandbox_possible) {
        return; // sanitizers
    }
    // Refused and not fatal: libc looks at a file of /proc now and then.
    CHECK(inside([] { return ::open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? 0 : 1; }) == 0);
    CHECK(inside([] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }) == -SIGSYS);
    CHECK(inside([] { return ::socket(AF_INET, SOCK_STREAM, 0); }) == -SIGSYS);
    CHECK(inside([] { return static_cast<int>(::fork()); }) == -SIGSYS);
    CHECK(inside([] { return ::execl("/bin/true", "true", nullptr); }) == -SIGSYS);
    CHECK(inside([] { return ::unlink("/nonexistent"); }) == -SIGSYS);
    CHECK(inside([] { return ::kill(::getppid(), 0); }) == -SIGSYS);
    CHECK(inside([] { return static_cast<int>(::syscall(SYS_memfd_create, "x", 0)); }) == -SIGSYS);
    // Descriptors only come in.
    CHECK(inside([] {
              msghdr message{};
              return static_cast<int>(::sendmsg(0, &message, 0));
          }) == -SIGSYS);
    const auto map = [](int protection, int flags) {
        return [=] {
            return ::mmap(nullptr, 4096, protection, flags, -1, 0) == MAP_FAILED ? 1 : 0;
        };
    };
    CHECK(inside(map(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)) == 0);
    CHECK(inside(map(PROT_READ, MAP_SHARED | MAP_ANONYMOUS)) == -SIGSYS);
    CHECK(inside(map(PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS)) == -SIGSYS);
    CHECK(inside(map(PROT_READ, MAP_PRIVATE)) == -SIGSYS);
}

TEST_CASE("memory and file size have an end") {
    if (!base::sandbox_possible) {
        return;
    }
    CHECK(inside([] {
              if (!set_bounds({64U << 20U, 1U << 20U, 100})) {
                  return 1;
              }
              try {
                  return std::vector<char>(256U << 20U, 'x').empty() ? 2 : 3;
              } catch (const std::bad_alloc&) {
                  return 0;
              }
          }) == 0);
    const base::UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
    CHECK(inside([&] {
              if (!set_bounds({64U << 20U, 1U << 20U, 100})) {
                  return 1;
              }
              return ::ftruncate(file.get(), 2 << 20) != 0 && errno == EFBIG ? 0 : 2;
          }) == 0);
    CHECK(inside([] {
              rlimit limit{};
              return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max <= 64 ? 0 : 1;
          }) == 0);
}
