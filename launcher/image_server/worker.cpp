// SPDX-License-Identifier: Apache-2.0
#include "launcher/image_server/worker.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <new>

namespace slipway::launcher::image_server {
namespace {

constexpr std::uint32_t oldest_minor = 23;
constexpr std::uint64_t for_ever = 1000000000; // seconds: an image never changes
constexpr std::uint16_t max_background = 64;
/// What one read is asked to be: larger ones cost memory and save nothing.
constexpr std::size_t preferred_read = 1U << 20U;
static_assert(preferred_read <= squashfs::reader::Reader::max_read);

constexpr std::uint32_t wanted_features =
    FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS | FUSE_CACHE_SYMLINKS |
    FUSE_MAX_PAGES | FUSE_EXPLICIT_INVAL_DATA | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;

// Node 1 is the root; every other inode is its reference plus this. References fill 48 bits, and
// the smallest is 0.
constexpr std::uint64_t node_base = 2;

// Offsets of a directory stream: 1 after ".", 2 after "..", then bytes of the listing plus this.
constexpr std::uint64_t dots = 2;

template <typename T>
bool take(std::span<const std::uint8_t> body, T& out) noexcept {
    if (body.size() < sizeof out) {
        return false;
    }
    std::memcpy(&out, body.data(), sizeof out);
    return true;
}

/// The NUL-terminated name in a request.
std::string_view name_in(std::span<const std::uint8_t> body) noexcept {
    const auto* text = reinterpret_cast<const char*>(body.data());
    return {text, strnlen(text, body.size())};
}

bool changes_something(std::uint32_t opcode) noexcept {
    switch (opcode) {
    case FUSE_SETATTR:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_LINK:
    case FUSE_WRITE:
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_CREATE:
    case FUSE_FALLOCATE:
        return true;
    default:
        return false;
    }
}

} // namespace

/// A readdir answer under construction.
struct Worker::ListingAnswer {
    std::uint8_t* buffer;
    std::size_t room;
    bool plus;
    std::size_t used = 0;

    /// Adds one entry when it fits. `entry` is null where the kernel shall look up by itself.
    bool add(std::string_view name, std::uint64_t ino, std::uint32_t type, std::uint64_t offset,
             const fuse_entry_out* entry) noexcept {
        const std::size_t head = plus ? sizeof(fuse_entry_out) : 0;
        const std::size_t bytes = FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + name.size());
        if (bytes > room - used) {
            return false;
        }
        std::uint8_t* to = buffer + used;
        if (plus) {
            const fuse_entry_out none{};
            std::memcpy(to, entry != nullptr ? entry : &none, sizeof none);
            to += sizeof none;
        }
        fuse_dirent record{};
        record.ino = ino;
        record.off = offset;
        record.namelen = static_cast<std::uint32_t>(name.size());
        record.type = type;
        std::memcpy(to, &record, FUSE_NAME_OFFSET);
        std::memcpy(to + FUSE_NAME_OFFSET, name.data(), name.size());
        std::uint8_t* const end = buffer + used + bytes;
        to += FUSE_NAME_OFFSET + name.size();
        std::memset(to, 0, static_cast<std::size_t>(end - to));
        used += bytes;
        return true;
    }
};

Worker::Worker(Session& session)
    : session_(session), reader_(session.image_),
      listing_(std::make_unique_for_overwrite<std::uint8_t[]>(listing_bytes)) {
    // So that answering, also with an error, never needs memory.
    pieces_.reserve(squashfs::reader::Reader::max_pieces + 1);
}

std::size_t Worker::receive(int& error) noexcept {
    for (;;) {
        const ssize_t got = ::read(session_.options_.fuse_fd, request_, sizeof request_);
        if (got >= static_cast<ssize_t>(sizeof header_)) {
            return static_cast<std::size_t>(got);
        }
        if (got >= 0) {
            error = EPROTO;
            return 0;
        }
        // ENOENT: the request was interrupted while it was being handed over.
        if (errno != EINTR && errno != EAGAIN && errno != ENOENT) {
            error = errno;
            return 0;
        }
    }
}

int Worker::handle(std::size_t bytes) noexcept {
    std::memcpy(&header_, request_, sizeof header_);
    if (header_.len != bytes) {
        return EPROTO;
    }
    const std::span<const std::uint8_t> body(request_ + sizeof header_, bytes - sizeof header_);
    if (header_.opcode == FUSE_INIT) {
        return initialise(body);
    }
    // What one request cannot get, memory above all, that request does without, and no other.
    try {
        dispatch(body);
    } catch (const std::bad_alloc&) {
        reply_error(ENOMEM);
    } catch (...) {
        reply_error(EIO);
    }
    data_.release();
    return 0;
}

void Worker::dispatch(std::span<const std::uint8_t> body) {
    switch (header_.opcode) {
    case FUSE_LOOKUP:
        return lookup(body);
    case FUSE_GETATTR:
        return get_attributes();
    case FUSE_READ:
        return read(body);
    case FUSE_READDIR:
        return read_directory(body, false);
    case FUSE_READDIRPLUS:
        return read_directory(body, true);
    case FUSE_READLINK:
        return read_link();
    case FUSE_OPEN:
        return open(false);
    case FUSE_OPENDIR:
        return open(true);
    case FUSE_GETXATTR:
        return get_xattr(body, false);
    case FUSE_LISTXATTR:
        return get_xattr(body, true);
    case FUSE_STATFS:
        return statistics();
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
        return; // nothing was remembered, and no answer is expected
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_DESTROY:
        return reply(nullptr, 0);
    default:
        // ENOSYS makes the kernel do without: access, flush, fsync, interrupt, lseek, ioctl, poll.
        return reply_error(changes_something(header_.opcode) ? EROFS : ENOSYS);
    }
}

int Worker::initialise(std::span<const std::uint8_t> body) noexcept {
    constexpr std::size_t old_size = offsetof(fuse_init_in, flags2);
    fuse_init_in in{};
    std::memcpy(&in, body.data(), std::min(body.size(), sizeof in));
    if (body.size() < old_size || in.major != FUSE_KERNEL_VERSION || in.minor < oldest_minor) {
        reply_error(EPROTO);
        return EPROTO;
    }
    fuse_init_out out{};
    out.major = FUSE_KERNEL_VERSION;
    out.minor = FUSE_KERNEL_MINOR_VERSION;
    out.max_readahead = in.max_readahead;
    out.flags = in.flags & wanted_features;
    out.max_background = max_background;
    out.congestion_threshold = max_background * 3 / 4;
    out.max_write = 4096;
    out.time_gran = 1;
    // In the kernel's own pages, which may have 64 KiB.
    out.max_pages = static_cast<std::uint16_t>(
        std::max<std::size_t>(preferred_read / session_.options_.page_bytes, 1));
    session_.features_.no_open = (in.flags & FUSE_NO_OPEN_SUPPORT) != 0;
    session_.features_.no_opendir = (in.flags & FUSE_NO_OPENDIR_SUPPORT) != 0;
    reply(&out, sizeof out);
    return 0;
}

int Worker::load(std::uint64_t node, squashfs::reader::Inode& out) {
    if (node == FUSE_ROOT_ID) {
        return reader_.inode(session_.image_.super().root_reference, out);
    }
    return node < node_base ? EIO : reader_.inode(node - node_base, out);
}

void Worker::fill_attributes(const squashfs::reader::Inode& inode, fuse_attr& out) const noexcept {
    out.ino = inode.number;
    out.size = inode.size;
    out.blocks = (inode.size - inode.sparse + 511) / 512;
    out.atime = out.mtime = out.ctime = inode.mtime;
    out.mode = inode.mode;
    out.nlink = inode.nlink;
    out.uid = session_.options_.uid;
    out.gid = session_.options_.gid;
    out.rdev = inode.rdev;
    out.blksize = session_.image_.super().block_size;
}

void Worker::fill_entry(const squashfs::reader::Inode& inode, fuse_entry_out& out) const noexcept {
    out.nodeid = inode.reference + node_base;
    out.entry_valid = for_ever;
    out.attr_valid = for_ever;
    fill_attributes(inode, out.attr);
}

void Worker::lookup(std::span<const std::uint8_t> body) {
    squashfs::reader::Inode directory;
    squashfs::reader::Inode inode;
    squashfs::reader::DirectoryEntry entry;
    int error = load(header_.nodeid, directory);
    if (error == 0) {
        error = reader_.lookup(directory, name_in(body), entry);
    }
    fuse_entry_out out{};
    if (error == ENOENT) {
        // Node 0 with a lifetime: the kernel remembers that there is no such name.
        out.entry_valid = for_ever;
        return reply(&out, sizeof out);
    }
    if (error == 0) {
        error = reader_.inode(entry.reference, inode);
    }
    if (error != 0) {
        return reply_error(error);
    }
    fill_entry(inode, out);
    reply(&out, sizeof out);
}

void Worker::get_attributes() {
    squashfs::reader::Inode inode;
    if (const int error = load(header_.nodeid, inode); error != 0) {
        return reply_error(error);
    }
    fuse_attr_out out{};
    out.attr_valid = for_ever;
    fill_attributes(inode, out.attr);
    reply(&out, sizeof out);
}

void Worker::read_link() {
    squashfs::reader::Inode inode;
    int error = load(header_.nodeid, inode);
    if (error == 0) {
        error = reader_.read_link(inode, text_);
    }
    if (error != 0) {
        return reply_error(error);
    }
    reply(text_.data(), text_.size());
}

/// Opening needs no state. Where the kernel understands it, ENOSYS says so once and for all: no
/// open and no close asks again. Else every open is answered with "keep what is cached".
void Worker::open(bool directory) {
    if (directory ? session_.features_.no_opendir : session_.features_.no_open) {
        return reply_error(ENOSYS);
    }
    fuse_open_out out{};
    out.open_flags = directory ? FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR : FOPEN_KEEP_CACHE;
    reply(&out, sizeof out);
}

void Worker::read(std::span<const std::uint8_t> body) {
    fuse_read_in in{};
    squashfs::reader::Inode inode;
    int error = take(body, in) ? load(header_.nodeid, inode) : EINVAL;
    if (error == 0 && in.size > squashfs::reader::Reader::max_read) {
        error = EIO; // never less than was asked for: the kernel takes that for the end of the file
    }
    if (error == 0) {
        error = reader_.read(inode, in.offset, in.size, data_);
    }
    if (error != 0) {
        return reply_error(error);
    }
    reply(data_.pieces.data(), data_.pieces.size(), data_.size);
}

/// "." and ".."; false when there is no room for them.
bool Worker::add_dots(const squashfs::reader::Inode& directory, std::uint64_t& offset,
                      ListingAnswer& answer) {
    if (offset == 0) {
        if (!answer.add(".", directory.number, DT_DIR, 1, nullptr)) {
            return false;
        }
        offset = 1;
    }
    if (offset == 1) {
        // The parent of the root lies outside of the image; its number there means nothing.
        const bool root = directory.reference == session_.image_.super().root_reference;
        if (!answer.add("..", root ? directory.number : directory.parent, DT_DIR, dots, nullptr)) {
            return false;
        }
        offset = dots;
    }
    return true;
}

void Worker::read_directory(std::span<const std::uint8_t> body, bool plus) {
    fuse_read_in in{};
    squashfs::reader::Inode directory;
    int error = take(body, in) ? load(header_.nodeid, directory) : EINVAL;
    if (error == 0 && !S_ISDIR(directory.mode)) {
        error = ENOTDIR;
    }
    if (error != 0) {
        return reply_error(error);
    }
    ListingAnswer answer{listing_.get(), std::min<std::size_t>(in.size, listing_bytes), plus};
    std::uint64_t offset = in.offset;
    if (!add_dots(directory, offset, answer)) {
        return reply(listing_.get(), answer.used);
    }
    squashfs::reader::Listing listing(reader_, directory, offset - dots);
    squashfs::reader::DirectoryEntry entry;
    while ((error = listing.next(entry)) == 0) {
        fuse_entry_out out{};
        squashfs::reader::Inode inode;
        if (plus) {
            if (error = reader_.inode(entry.reference, inode); error != 0) {
                break;
            }
            fill_entry(inode, out);
        }
        if (!answer.add(entry.name, entry.number, entry.type, listing.position() + dots, &out)) {
            listing.step_back();
            listing.remember();
            break;
        }
    }
    // What came before the damage is delivered; the next request starts at it and gets the error.
    if (error != 0 && error != ENOENT && answer.used == 0) {
        return reply_error(error);
    }
    reply(listing_.get(), answer.used);
}

void Worker::reply_sized(const std::string& value, std::uint32_t room) noexcept {
    if (room == 0) {
        fuse_getxattr_out out{};
        out.size = static_cast<std::uint32_t>(value.size());
        return reply(&out, sizeof out);
    }
    if (value.size() > room) {
        return reply_error(ERANGE);
    }
    reply(value.data(), value.size());
}

void Worker::get_xattr(std::span<const std::uint8_t> body, bool list) {
    if (!session_.image_.has_xattrs()) {
        return reply_error(ENOSYS); // the kernel never asks again
    }
    fuse_getxattr_in in{};
    squashfs::reader::Inode inode;
    int error = take(body, in) ? load(header_.nodeid, inode) : EINVAL;
    if (error == 0) {
        error = list ? reader_.list_xattrs(inode, text_)
                     : reader_.get_xattr(inode, name_in(body.subspan(sizeof in)), text_);
    }
    if (error != 0) {
        return reply_error(error);
    }
    reply_sized(text_, in.size);
}

void Worker::statistics() {
    const squashfs::Superblock& super = session_.image_.super();
    fuse_statfs_out out{};
    out.st.bsize = super.block_size;
    out.st.frsize = super.block_size;
    out.st.blocks = (super.bytes_used + super.block_size - 1) / super.block_size;
    out.st.files = super.inode_count;
    out.st.namelen = 255;
    reply(&out, sizeof out);
}

void Worker::reply(const iovec* pieces, std::size_t count, std::size_t bytes) noexcept {
    fuse_out_header out{};
    out.len = static_cast<std::uint32_t>(sizeof out + bytes);
    out.unique = header_.unique;
    pieces_.assign(1, {&out, sizeof out});
    pieces_.insert(pieces_.end(), pieces, pieces + count);
    // It fails when the request is gone (interrupted, mount gone): then nobody waits for it.
    [[maybe_unused]] const ssize_t ignored =
        ::writev(session_.options_.fuse_fd, pieces_.data(), static_cast<int>(pieces_.size()));
}

void Worker::reply(const void* data, std::size_t bytes) noexcept {
    const iovec piece{const_cast<void*>(data), bytes};
    reply(&piece, bytes != 0 ? 1 : 0, bytes);
}

void Worker::reply_error(int error) noexcept {
    fuse_out_header out{};
    out.len = sizeof out;
    out.error = -error;
    out.unique = header_.unique;
    [[maybe_unused]] const ssize_t ignored = ::write(session_.options_.fuse_fd, &out, sizeof out);
}

} // namespace slipway::launcher::image_server
