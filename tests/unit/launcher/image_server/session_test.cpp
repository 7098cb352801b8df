// SPDX-License-Identifier: Apache-2.0
// The FUSE protocol without a kernel: a socket pair that keeps message borders takes its place.
#include "launcher/image_server/session.hpp"
#include "squashfs/reader/reader.hpp"
#include "tests/unit/launcher/image_server/short_memory.hpp"
#include "tests/unit/squashfs/tiny_image.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <linux/fuse.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>

using slipway::launcher::image_server::Session;
using namespace slipway::squashfs;
using namespace slipway::squashfs::reader;
namespace test = slipway::test;
using slipway::test::OpenImage;
using slipway::test::TinyImage;

namespace {

constexpr std::uint64_t big_size = 3U << 20U;
const std::string far_target(1000, 'f');

std::string hello_image() {
    TinyImage tiny;
    const auto start = tiny.store("hello");
    const auto file = tiny.file(3, start, 5, {5U | 1U << 24U});
    const auto link = tiny.symlink(4, "hello", 5);
    tiny.run({{"hello", file, 2, 1}, {"link", link, 3, 2}}, 2, 1);
    const auto root = tiny.directory(2, 0, static_cast<std::uint16_t>(tiny.listings.size()), 11);
    return tiny.finish(root);
}

/// Files that take memory to read: a big one of holes, a long link.
std::string big_image() {
    TinyImage tiny;
    const auto start = tiny.store("hello");
    const auto file = tiny.file(3, start, 5, {5U | 1U << 24U});
    const auto link = tiny.symlink(4, far_target, static_cast<std::uint32_t>(far_target.size()));
    const auto big = tiny.file(5, 0, big_size, std::vector<std::uint32_t>(big_size / 4096, 0));
    tiny.run({{"big", big, 2, 3}, {"hello", file, 2, 1}, {"link", link, 3, 2}}, 2, 2);
    const auto root = tiny.directory(2, 0, static_cast<std::uint16_t>(tiny.listings.size()), 11);
    return tiny.finish(root);
}

class Kernel {
  public:
    explicit Kernel(std::uint32_t features = ~0U, const std::string& image = hello_image(),
                    std::size_t page_bytes = 4096, std::size_t metadata_blocks = 32)
        : opened_(image, {.metadata_blocks = metadata_blocks, .data_bytes = 1U << 18U}) {
        REQUIRE(opened_.image);
        auto pair = slipway::base::packet_pair();
        REQUIRE(pair);
        ours_ = std::move(pair->first);
        theirs_ = std::move(pair->second);
        // An answer that never comes shall be a failure and no hang.
        const timeval patience{30, 0};
        REQUIRE(setsockopt(ours_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
        const Session::Options options{theirs_.get(), 4, 1000, 100, page_bytes};
        session_ = std::make_unique<Session>(**opened_.image, options);
        thread_ = std::thread([this] { result_ = session_->run(); });
        fuse_init_in in{};
        in.major = 7;
        in.minor = 38;
        in.flags = features;
        std::string body;
        TinyImage::put(body, in);
        init_ = ask(FUSE_INIT, 0, body);
    }
    ~Kernel() { stop(); }
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;

    int stop() {
        ours_.reset();
        if (thread_.joinable()) {
            thread_.join();
        }
        return result_;
    }

    struct Answer {
        int error = 0;
        std::string body;
        template <typename T> T as() const {
            REQUIRE(body.size() >= sizeof(T));
            T out;
            std::memcpy(&out, body.data(), sizeof out);
            return out;
        }
    };
    void send(std::uint32_t opcode, std::uint64_t node, const std::string& body) {
        fuse_in_header header{};
        header.len = static_cast<std::uint32_t>(sizeof header + body.size());
        header.opcode = opcode;
        header.unique = ++unique_;
        header.nodeid = node;
        std::string request;
        TinyImage::put(request, header);
        request += body;
        REQUIRE(write(ours_.get(), request.data(), request.size()) ==
                static_cast<ssize_t>(request.size()));
    }
    Answer ask(std::uint32_t opcode, std::uint64_t node, const std::string& body = {}) {
        send(opcode, node, body);
        std::string reply(200000, '\0');
        const ssize_t got = read(ours_.get(), reply.data(), reply.size());
        REQUIRE(got >= static_cast<ssize_t>(sizeof(fuse_out_header)));
        fuse_out_header header;
        std::memcpy(&header, reply.data(), sizeof header);
        CHECK(header.len == static_cast<std::size_t>(got));
        CHECK(header.unique == unique_);
        return {-header.error, reply.substr(sizeof header, static_cast<std::size_t>(got) - sizeof header)};
    }
    Answer lookup(const std::string& name) { return ask(FUSE_LOOKUP, 1, name + '\0'); }
    static std::string range(std::uint64_t offset, std::uint32_t size) {
        fuse_read_in in{};
        in.offset = offset;
        in.size = size;
        std::string body;
        TinyImage::put(body, in);
        return body;
    }
    Answer init_;

  private:
    OpenImage opened_;
    slipway::base::UniqueFd ours_;
    slipway::base::UniqueFd theirs_;
    std::unique_ptr<Session> session_;
    std::thread thread_;
    std::uint64_t unique_ = 100;
    int result_ = -1;
};

std::vector<std::string> names_in(const std::string& body, bool plus, std::uint64_t& last_offset) {
    std::vector<std::string> names;
    std::size_t at = 0;
    while (at < body.size()) {
        const std::size_t head = plus ? sizeof(fuse_entry_out) : 0;
        fuse_dirent record;
        std::memcpy(&record, body.data() + at + head, FUSE_NAME_OFFSET);
        names.push_back(body.substr(at + head + FUSE_NAME_OFFSET, record.namelen));
        last_offset = record.off;
        at += FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + record.namelen);
    }
    CHECK(at == body.size());
    return names;
}

} // namespace

TEST_CASE("a request that memory is too short for fails alone") {
    test::allocations_never_fail_here = true;
    // One slot for metadata: with a listing open, every inode needs a block outside of the cache.
    Kernel kernel(~0U, big_image(), 4096, 1);
    const auto node = [&](const char* name) {
        return kernel.lookup(name).as<fuse_entry_out>().nodeid;
    };
    const auto file = node("hello");
    const auto link = node("link");
    const auto big = node("big");
    const std::string attributes(16, '\0');
    struct Row {
        std::uint32_t opcode;
        std::uint64_t node;
        std::string body;
    };
    const Row rows[] = {
        {FUSE_READLINK, link, {}},
        {FUSE_READDIRPLUS, 1, Kernel::range(0, 4096)},
        {FUSE_READDIR, 1, Kernel::range(0, 4096)},
        {FUSE_READ, file, Kernel::range(1, 3)},
        {FUSE_READ, file, Kernel::range(0, 4096)},
        {FUSE_READ, big, Kernel::range(0, 100'000)},
        {FUSE_LOOKUP, 1, std::string("hello\0", 6)},
        {FUSE_GETATTR, link, attributes},
    };
    int refused = 0;
    for (const auto& row : rows) {
        for (long count = 0; count < 100; ++count) {
            CAPTURE(row.opcode, count);
            test::allocations_left = count;
            const auto answer = kernel.ask(row.opcode, row.node, row.body);
            const bool failed = test::allocations_left.exchange(-1) < 0;
            REQUIRE((answer.error == 0 || answer.error == ENOMEM));
            refused += answer.error != 0 ? 1 : 0;
            CHECK(kernel.ask(row.opcode, row.node, row.body).error == 0);
            if (!failed) {
                break;
            }
        }
    }
    CHECK(refused >= 3);
    test::allocations_never_fail_here = false;
}

TEST_CASE("no answer is shorter than the request, whatever the size of the kernel's pages") {
    for (const std::size_t page : {4096U, 16384U, 65536U}) {
        Kernel kernel(~0U, big_image(), page);
        const auto pages = kernel.init_.as<fuse_init_out>().max_pages;
        CHECK(pages * page == 1U << 20U);
        // A kernel without this limit, or one that does not keep to it.
        const auto big = kernel.lookup("big").as<fuse_entry_out>().nodeid;
        CHECK(kernel.ask(FUSE_READ, big, Kernel::range(0, 256 * 65536)).error == EIO);
        CHECK(kernel.ask(FUSE_READ, big, Kernel::range(0, 100'000)).body.size() == 100'000);
    }
    // The most that Linux before 4.20 asks for: 32 pages.
    OpenImage opened(big_image());
    Reader reader(*opened.get());
    Inode root;
    DirectoryEntry entry;
    Inode big;
    REQUIRE(reader.inode(opened.get()->super().root_reference, root) == 0);
    REQUIRE(reader.lookup(root, "big", entry) == 0);
    REQUIRE(reader.inode(entry.reference, big) == 0);
    FileData data;
    CHECK(reader.read(big, 1, 32 * 65536, data) == 0);
    CHECK(data.size == 32 * 65536);
    CHECK(data.pieces.size() <= Reader::max_pieces);
    CHECK(reader.read(big, big_size - 5, 32 * 65536, data) == 0);
    CHECK(data.size == 5);
}

TEST_CASE("INIT offers what the kernel has, and nothing else") {
    Kernel all;
    const auto out = all.init_.as<fuse_init_out>();
    CHECK(out.major == 7);
    CHECK((out.flags & FUSE_DO_READDIRPLUS) != 0);
    CHECK((out.flags & FUSE_WRITEBACK_CACHE) == 0);
    CHECK((out.flags & FUSE_POSIX_LOCKS) == 0);
    Kernel none(0);
    CHECK(none.init_.as<fuse_init_out>().flags == 0);
}

TEST_CASE("look-ups, attributes and negative answers") {
    Kernel kernel;
    const auto found = kernel.lookup("hello");
    REQUIRE(found.error == 0);
    const auto entry = found.as<fuse_entry_out>();
    CHECK(entry.attr.ino == 3);
    CHECK(entry.attr.size == 5);
    CHECK(entry.attr.mode == (S_IFREG | 0644));
    CHECK(entry.attr.uid == 1000);
    CHECK(entry.attr.gid == 100);
    CHECK(entry.attr.mtime == 1234567890);
    CHECK(entry.entry_valid > 1000000);
    CHECK(entry.nodeid > 1);
    const auto attributes = kernel.ask(FUSE_GETATTR, entry.nodeid, std::string(16, '\0'));
    CHECK(attributes.as<fuse_attr_out>().attr.ino == 3);
    const auto missing = kernel.lookup("missing");
    CHECK(missing.error == 0);
    CHECK(missing.as<fuse_entry_out>().nodeid == 0);
    CHECK(missing.as<fuse_entry_out>().entry_valid > 1000000);
    CHECK(kernel.lookup(std::string(300, 'x')).error == ENAMETOOLONG);
    CHECK(kernel.ask(FUSE_GETATTR, 0, std::string(16, '\0')).error == EIO);
    CHECK(kernel.ask(FUSE_GETATTR, 123456, std::string(16, '\0')).error == EIO);
}

TEST_CASE("reading files and links") {
    Kernel kernel;
    const auto file = kernel.lookup("hello").as<fuse_entry_out>().nodeid;
    CHECK(kernel.ask(FUSE_READ, file, Kernel::range(0, 4096)).body == "hello");
    CHECK(kernel.ask(FUSE_READ, file, Kernel::range(2, 2)).body == "ll");
    CHECK(kernel.ask(FUSE_READ, file, Kernel::range(5, 10)).body.empty());
    CHECK(kernel.ask(FUSE_READ, 1, Kernel::range(0, 10)).error == EISDIR);
    CHECK(kernel.ask(FUSE_READ, file, "short").error == EINVAL);
    const auto link = kernel.lookup("link").as<fuse_entry_out>().nodeid;
    CHECK(kernel.ask(FUSE_READLINK, link).body == "hello");
    CHECK(kernel.ask(FUSE_READLINK, file).error == EINVAL);
}

TEST_CASE("directories, whole and entry by entry") {
    const bool plus = GENERATE(false, true);
    const std::uint32_t opcode = plus ? FUSE_READDIRPLUS : FUSE_READDIR;
    Kernel kernel;
    std::uint64_t offset = 0;
    const auto whole = kernel.ask(opcode, 1, Kernel::range(0, 4096));
    CHECK(names_in(whole.body, plus, offset) == std::vector<std::string>{".", "..", "hello", "link"});
    CHECK(kernel.ask(opcode, 1, Kernel::range(offset, 4096)).body.empty());
    std::vector<std::string> names;
    offset = 0;
    for (int i = 0; i < 4; ++i) {
        const auto one = kernel.ask(opcode, 1, Kernel::range(offset, plus ? 170 : 40));
        const auto got = names_in(one.body, plus, offset);
        REQUIRE(got.size() == 1);
        names.push_back(got[0]);
    }
    CHECK(names == std::vector<std::string>{".", "..", "hello", "link"});
    const auto file = kernel.lookup("hello").as<fuse_entry_out>().nodeid;
    CHECK(kernel.ask(opcode, file, Kernel::range(0, 4096)).error == ENOTDIR);
}

TEST_CASE("what the kernel is asked to do without") {
    Kernel kernel;
    const auto file = kernel.lookup("hello").as<fuse_entry_out>().nodeid;
    for (const std::uint32_t opcode :
         {FUSE_OPEN, FUSE_OPENDIR, FUSE_ACCESS, FUSE_FLUSH, FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_LSEEK,
          FUSE_INTERRUPT, FUSE_IOCTL}) {
        CAPTURE(opcode);
        CHECK(kernel.ask(opcode, file, std::string(64, '\0')).error == ENOSYS);
    }
    for (const std::uint32_t opcode : {FUSE_WRITE, FUSE_MKDIR, FUSE_UNLINK, FUSE_SETATTR, FUSE_CREATE}) {
        CAPTURE(opcode);
        CHECK(kernel.ask(opcode, file, std::string(64, '\0')).error == EROFS);
    }
    CHECK(kernel.ask(9999, 1).error == ENOSYS);
    CHECK(kernel.ask(FUSE_RELEASE, file, std::string(24, '\0')).error == 0);
    CHECK(kernel.ask(FUSE_STATFS, 1).as<fuse_statfs_out>().st.namelen == 255);
}

TEST_CASE("kernels that cannot do without open get it answered") {
    Kernel kernel(0);
    const auto file = kernel.lookup("hello").as<fuse_entry_out>().nodeid;
    const auto opened = kernel.ask(FUSE_OPEN, file, std::string(8, '\0'));
    CHECK(opened.error == 0);
    CHECK((opened.as<fuse_open_out>().open_flags & FOPEN_KEEP_CACHE) != 0);
    const auto directory = kernel.ask(FUSE_OPENDIR, 1, std::string(8, '\0'));
    CHECK(directory.error == 0);
    CHECK((directory.as<fuse_open_out>().open_flags & FOPEN_CACHE_DIR) != 0);
}

TEST_CASE("forgetting gets no answer") {
    Kernel kernel;
    kernel.send(FUSE_FORGET, 1, std::string(8, '\0'));
    kernel.send(FUSE_BATCH_FORGET, 0, std::string(8, '\0'));
    CHECK(kernel.lookup("hello").error == 0);
}

TEST_CASE("a device that speaks nonsense ends the session") {
    {
        Kernel kernel;
        CHECK(kernel.stop() == EPROTO); // the end of the stream is no end of a mount
    }
    Kernel kernel;
    fuse_in_header header{};
    header.len = 1000;
    header.opcode = FUSE_LOOKUP;
    std::string request;
    TinyImage::put(request, header);
    kernel.send(FUSE_FORGET, 1, request); // a good one first
    CHECK(kernel.stop() == EPROTO);
}
