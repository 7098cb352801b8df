// SPDX-License-Identifier: Apache-2.0
// The only file that uses libsquashfs 1.2 (squashfs-tools-ng): superblock, inodes, directories and
// tables. The data area is our own DataWriter's: the library's block processor needs 250 bytes more
// for each file, searches for duplicates in quadratic time, and gives up on an image in which a full
// fragment block happens not to compress.
#include "prefetch/convert/squashfs_tables.hpp"

#include "base/cursor.hpp"
#include "base/fd.hpp"
#include "base/format.hpp"
#include "prefetch/convert/file_errors.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include <sqfs/compressor.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::uint32_t no_xattrs = 0xffffffff;
constexpr std::uint64_t alignment = 4096;

/// The library's idea of a file: ours from `base` on. Errors are parked in `error`.
struct Window {
    sqfs_file_t file{}; // first: the library's pointer is ours
    int fd = -1;
    std::uint64_t base = 0;
    std::uint64_t end = 0; ///< of what was written
    base::Error error;
    bool failed = false;
};

int park(Window& window, base::Error error) noexcept {
    if (!window.failed) {
        window.failed = true;
        window.error = std::move(error);
    }
    return SQFS_ERROR_IO;
}

int window_read(sqfs_file_t* file, sqfs_u64 offset, void* buffer, size_t size) noexcept {
    auto& window = *reinterpret_cast<Window*>(file);
    auto result = base::read_exact_at(window.fd, {static_cast<std::uint8_t*>(buffer), size},
                                      window.base + offset);
    return result ? 0 : park(window, std::move(result).error());
}

int window_write(sqfs_file_t* file, sqfs_u64 offset, const void* buffer, size_t size) noexcept {
    auto& window = *reinterpret_cast<Window*>(file);
    auto result = write_image(window.fd, {static_cast<const std::uint8_t*>(buffer), size},
                              window.base + offset);
    if (!result) {
        return park(window, std::move(result).error());
    }
    window.end = std::max<std::uint64_t>(window.end, offset + size);
    return 0;
}

sqfs_u64 window_size(const sqfs_file_t* file) noexcept {
    return reinterpret_cast<const Window*>(file)->end;
}

int window_truncate(sqfs_file_t* file, sqfs_u64 size) noexcept {
    reinterpret_cast<Window*>(file)->end = size;
    return 0;
}

void window_destroy(sqfs_object_t*) noexcept {}

void open_window(Window& window, int fd, std::uint64_t base, std::uint64_t end) noexcept {
    window.file.base.destroy = window_destroy;
    window.file.base.copy = nullptr;
    window.file.read_at = window_read;
    window.file.write_at = window_write;
    window.file.get_size = window_size;
    window.file.truncate = window_truncate;
    window.fd = fd;
    window.base = base;
    window.end = end;
}

struct Destroy {
    void operator()(void* object) const noexcept { sqfs_destroy(object); }
};
template <typename T> using Owned = std::unique_ptr<T, Destroy>;

std::string_view error_name(int error) noexcept {
    switch (error) {
    case SQFS_ERROR_ALLOC:
        return "no memory";
    case SQFS_ERROR_COMPRESSOR:
        return "the compressor failed";
    case SQFS_ERROR_OVERFLOW:
        return "a number became too large";
    case SQFS_ERROR_UNSUPPORTED:
        return "not supported";
    default:
        return "the library failed";
    }
}

base::Unexpected failed(Window& window, int error, std::string_view what) {
    if (window.failed) {
        return tl::unexpected(window.error);
    }
    return fail(Code::internal,
                fmt::format("cannot write the {}: {} ({})", what, error_name(error), error));
}

/// The library's numbers are those of the format, as ours are.
SQFS_COMPRESSOR id_of(const SquashfsFormat& format) noexcept {
    return static_cast<SQFS_COMPRESSOR>(format.compressor);
}

Result<Owned<sqfs_compressor_t>> make_compressor(const SquashfsFormat& format) {
    sqfs_compressor_config_t config;
    int error = sqfs_compressor_config_init(&config, id_of(format), format.block_size, 0);
    config.level = static_cast<sqfs_u32>(format.level);
    sqfs_compressor_t* compressor = nullptr;
    if (error == 0) {
        error = sqfs_compressor_create(&config, &compressor);
    }
    if (error != 0) {
        return fail(Code::internal, fmt::format("cannot set up the compressor: {}",
                                                error_name(error)));
    }
    return Owned<sqfs_compressor_t>(compressor);
}

/// Options that differ from the defaults are written behind the superblock.
Result<std::uint64_t> write_options(Window& window, sqfs_compressor_t& compressor, bool& written) {
    window.end = std::max<std::uint64_t>(window.end, sizeof(sqfs_super_t));
    const int size = compressor.write_options(&compressor, &window.file);
    if (size < 0) {
        return failed(window, size, "compressor options");
    }
    written = size > 0;
    return window.end;
}

/// Everything that is needed while the tables are written; see finish_squashfs.
class TableWriter {
  public:
    TableWriter(Window& window, const SquashfsFormat& format, const Tree& tree,
                const DataWriter& data, const NamePool& xattr_sets)
        : window_(window), format_(format), tree_(tree), data_(data), xattr_sets_(xattr_sets),
          number_(tree.node_limit(), 0), links_(tree.node_limit(), 0),
          reference_(tree.node_limit(), 0) {}

    Result<std::uint32_t> run(sqfs_super_t& super) {
        TRY(create());
        assign_numbers(Tree::root);
        number_[Tree::root] = ++inodes_;
        super.inode_table_start = window_.end;
        TRY(write_directory(Tree::root));
        TRY(write_root());
        TRY(write_tables(super));
        super.inode_count = inodes_;
        super.root_inode_ref = reference_[Tree::root];
        return inodes_;
    }

  private:
    struct FreeInode {
        void operator()(sqfs_inode_generic_t* inode) const noexcept { sqfs_free(inode); }
    };
    using DirectoryInode = std::unique_ptr<sqfs_inode_generic_t, FreeInode>;
    using Children = std::vector<std::pair<NameId, Tree::NodeId>>;

    Result<void> create() {
        TRY_ASSIGN(compressor_, make_compressor(format_));
        ids_.reset(sqfs_id_table_create(0));
        xattrs_.reset(sqfs_xattr_writer_create(0));
        inode_writer_.reset(sqfs_meta_writer_create(&window_.file, compressor_.get(), 0));
        directory_meta_.reset(sqfs_meta_writer_create(&window_.file, compressor_.get(),
                                                      SQFS_META_WRITER_KEEP_IN_MEMORY));
        if (directory_meta_) {
            directories_.reset(sqfs_dir_writer_create(directory_meta_.get(),
                                                      SQFS_DIR_WRITER_CREATE_EXPORT_TABLE));
        }
        if (!ids_ || !xattrs_ || !inode_writer_ || !directories_) {
            return fail(Code::internal, "no memory for the tables of the image");
        }
        return {};
    }

    /// Siblings get consecutive numbers, after everything below them: directory entries store small
    /// differences only.
    void assign_numbers(Tree::NodeId directory) {
        const Children children = tree_.children(directory);
        for (const auto& [name, node] : children) {
            if (tree_.is_directory(node)) {
                ++links_[directory];
                assign_numbers(node);
            }
        }
        for (const auto& [name, node] : children) {
            if (!tree_.is_directory(node)) {
                ++links_[node];
            }
            if (number_[node] == 0) {
                number_[node] = ++inodes_;
            }
        }
    }

    /// Writes the inodes of everything in a directory, then its listing. The directory's own inode
    /// is left in `finished_` for its parent to write.
    Result<void> write_directory(Tree::NodeId directory) {
        // Twice: numbers are assigned with the same list in hand.
        TRY_ASSIGN(const auto listed, tree_.budget().hold(listing_cost(directory)));
        const Children children = tree_.children(directory);
        std::vector<DirectoryInode> made;
        for (const auto& [name, node] : children) {
            if (tree_.is_directory(node)) {
                TRY(write_directory(node));
                made.push_back(std::move(finished_));
            }
        }
        std::size_t next = 0;
        for (const auto& [name, node] : children) {
            if (tree_.is_directory(node)) {
                TRY(write_inode(node, directory, *made[next++]));
            } else if (reference_[node] == 0) {
                TRY(write_leaf(node));
            }
        }
        int error = sqfs_dir_writer_begin(directories_.get(), 0);
        for (const auto& [name, node] : children) {
            if (error == 0) {
                const std::string text(tree_.names().text(name));
                // Stored plus one, since the first reference is 0.
                error = sqfs_dir_writer_add_entry(directories_.get(), text.c_str(), number_[node],
                                                  reference_[node] - 1, type_bits(node));
            }
        }
        error = error == 0 ? sqfs_dir_writer_end(directories_.get()) : error;
        if (error != 0) {
            return failed(window_, error, "directories");
        }
        TRY_ASSIGN(const std::uint32_t xattr, xattr_index(node_meta(directory)));
        finished_.reset(sqfs_dir_writer_create_inode(directories_.get(), 0, xattr, 0));
        if (!finished_) {
            return fail(Code::internal, "no memory for the directories of the image");
        }
        const std::uint32_t links = 2 + links_[directory];
        if (finished_->base.type == SQFS_INODE_EXT_DIR) {
            finished_->data.dir_ext.nlink = links;
        } else {
            finished_->data.dir.nlink = links;
        }
        return {};
    }

    /// What the list of a directory takes while it is written.
    [[nodiscard]] std::uint64_t listing_cost(Tree::NodeId directory) const {
        return tree_.child_count(directory) * cost::listed;
    }

    Result<void> write_root() {
        const DirectoryInode inode = std::move(finished_);
        set_parent(*inode, inodes_ + 1); // what nobody has
        TRY(write_common(Tree::root, *inode));
        --reference_[Tree::root];
        return {};
    }

    static void set_parent(sqfs_inode_generic_t& inode, std::uint32_t number) noexcept {
        if (inode.base.type == SQFS_INODE_EXT_DIR) {
            inode.data.dir_ext.parent_inode = number;
        } else {
            inode.data.dir.parent_inode = number;
        }
    }

    Result<void> write_inode(Tree::NodeId node, Tree::NodeId parent, sqfs_inode_generic_t& inode) {
        set_parent(inode, number_[parent]);
        return write_common(node, inode);
    }

    Result<void> write_common(Tree::NodeId node, sqfs_inode_generic_t& inode) {
        const Record& meta = node_meta(node);
        inode.base.mode = static_cast<sqfs_u16>(type_bits(node) | meta.mode);
        inode.base.mod_time = meta.mtime;
        inode.base.inode_number = number_[node];
        int error = sqfs_id_table_id_to_index(ids_.get(), meta.uid, &inode.base.uid_idx);
        if (error == 0) {
            error = sqfs_id_table_id_to_index(ids_.get(), meta.gid, &inode.base.gid_idx);
        }
        if (error == SQFS_ERROR_OVERFLOW) {
            return fail(Code::limit_exceeded, "the image has more than 65,535 different owners",
                        "convert it without keeping owners");
        }
        sqfs_u64 block = 0;
        sqfs_u32 offset = 0;
        sqfs_meta_writer_get_position(inode_writer_.get(), &block, &offset);
        reference_[node] = ((block << 16U) | offset) + 1;
        error = error == 0 ? sqfs_meta_writer_write_inode(inode_writer_.get(), &inode) : error;
        if (error != 0) {
            return failed(window_, error, "inodes");
        }
        return {};
    }

    /// An inode with room for `extra` bytes behind it, zeroed, in a buffer that is used again.
    sqfs_inode_generic_t& fresh_inode(std::size_t extra) {
        buffer_.assign((sizeof(sqfs_inode_generic_t) + extra) / sizeof(std::uint64_t) + 1, 0);
        auto& inode = *reinterpret_cast<sqfs_inode_generic_t*>(buffer_.data());
        inode.payload_bytes_available = inode.payload_bytes_used = static_cast<sqfs_u32>(extra);
        return inode;
    }

    Result<void> write_leaf(Tree::NodeId node) {
        const Record& meta = node_meta(node);
        TRY_ASSIGN(const std::uint32_t xattr, xattr_index(meta));
        switch (meta.kind) {
        case RecordKind::file:
            return write_file(node, xattr);
        case RecordKind::symlink:
            return write_symlink(node, xattr);
        default:
            return write_special(node, xattr);
        }
    }

    Result<void> write_file(Tree::NodeId node, std::uint32_t xattr) {
        const Record& meta = node_meta(node);
        const Payload empty;
        const Payload& payload =
            meta.value == Record::no_payload ? empty : data_.payload(meta.value);
        sqfs_inode_generic_t& inode =
            fresh_inode(std::size_t{payload.block_count} * sizeof(std::uint32_t));
        const std::uint32_t* sizes = data_.block_sizes().data() + payload.first_block;
        std::copy(sizes, sizes + payload.block_count, inode.extra);
        const bool basic = payload.start <= UINT32_MAX && payload.size <= UINT32_MAX &&
                           links_[node] == 1 && xattr == no_xattrs && !payload.sparse;
        if (basic) {
            inode.base.type = SQFS_INODE_FILE;
            inode.data.file = {static_cast<sqfs_u32>(payload.start), payload.fragment,
                               payload.fragment_offset, static_cast<sqfs_u32>(payload.size)};
            if (payload.fragment == Payload::no_fragment) {
                inode.data.file.fragment_offset = UINT32_MAX;
            }
        } else {
            inode.base.type = SQFS_INODE_EXT_FILE;
            auto& file = inode.data.file_ext;
            file.blocks_start = payload.start;
            file.file_size = payload.size;
            file.sparse = sparse_bytes(payload);
            file.nlink = links_[node];
            file.fragment_idx = payload.fragment;
            file.fragment_offset = payload.fragment == Payload::no_fragment
                                       ? UINT32_MAX
                                       : payload.fragment_offset;
            file.xattr_idx = xattr;
        }
        return write_common(node, inode);
    }

    [[nodiscard]] std::uint64_t sparse_bytes(const Payload& payload) const {
        std::uint64_t bytes = 0;
        for (std::uint32_t i = 0; i < payload.block_count; ++i) {
            if (data_.block_sizes()[payload.first_block + i] == 0) {
                const std::uint64_t at = std::uint64_t{i} * format_.block_size;
                bytes += std::min<std::uint64_t>(format_.block_size, payload.size - at);
            }
        }
        return bytes;
    }

    Result<void> write_symlink(Tree::NodeId node, std::uint32_t xattr) {
        const std::string_view target = tree_.names().text(node_meta(node).value);
        sqfs_inode_generic_t& inode = fresh_inode(target.size());
        std::memcpy(inode.extra, target.data(), target.size());
        const auto size = static_cast<sqfs_u32>(target.size());
        if (xattr == no_xattrs) {
            inode.base.type = SQFS_INODE_SLINK;
            inode.data.slink = {links_[node], size};
        } else {
            inode.base.type = SQFS_INODE_EXT_SLINK;
            inode.data.slink_ext = {links_[node], size, xattr};
        }
        return write_common(node, inode);
    }

    Result<void> write_special(Tree::NodeId node, std::uint32_t xattr) {
        const Record& meta = node_meta(node);
        sqfs_inode_generic_t& inode = fresh_inode(0);
        const bool extended = xattr != no_xattrs;
        if (meta.kind == RecordKind::fifo) {
            inode.base.type = extended ? SQFS_INODE_EXT_FIFO : SQFS_INODE_FIFO;
            inode.data.ipc_ext = {links_[node], xattr};
        } else {
            const bool block = meta.kind == RecordKind::block_device;
            inode.base.type = block ? extended ? SQFS_INODE_EXT_BDEV : SQFS_INODE_BDEV
                              : extended ? SQFS_INODE_EXT_CDEV
                                         : SQFS_INODE_CDEV;
            inode.data.dev_ext = {links_[node], meta.value, xattr};
        }
        return write_common(node, inode);
    }

    Result<std::uint32_t> xattr_index(const Record& meta) {
        const std::string_view packed = xattr_sets_.text(meta.xattrs);
        if (packed.empty()) {
            return no_xattrs;
        }
        has_xattrs_ = true;
        base::Cursor cursor(packed);
        int error = sqfs_xattr_writer_begin(xattrs_.get(), 0);
        while (error == 0 && !cursor.at_end() && cursor.ok()) {
            const std::string name(cursor.text(packed.size()));
            const std::string_view value = cursor.text(packed.size());
            error = sqfs_xattr_writer_add(xattrs_.get(), name.c_str(), value.data(), value.size());
        }
        sqfs_u32 index = no_xattrs;
        error = error == 0 ? sqfs_xattr_writer_end(xattrs_.get(), &index) : error;
        if (error != 0) {
            return failed(window_, error, "extended attributes");
        }
        return index;
    }

    Result<void> write_tables(sqfs_super_t& super) {
        int error = sqfs_meta_writer_flush(inode_writer_.get());
        error = error == 0 ? sqfs_meta_writer_flush(directory_meta_.get()) : error;
        super.directory_table_start = window_.end;
        error = error == 0 ? sqfs_meta_write_write_to_file(directory_meta_.get()) : error;
        if (error != 0) {
            return failed(window_, error, "directory table");
        }
        const Owned<sqfs_frag_table_t> fragments(sqfs_frag_table_create(0));
        if (!fragments) {
            return fail(Code::internal, "no memory for the tables of the image");
        }
        for (const FragmentBlock& block : data_.fragments()) {
            error = error == 0
                        ? sqfs_frag_table_append(fragments.get(), block.start, block.size, nullptr)
                        : error;
        }
        sqfs_file_t* file = &window_.file;
        sqfs_compressor_t* compressor = compressor_.get();
        error = error == 0 ? sqfs_frag_table_write(fragments.get(), file, &super, compressor) : error;
        error = error == 0
                    ? sqfs_dir_writer_write_export_table(directories_.get(), file, compressor,
                                                         number_[Tree::root],
                                                         reference_[Tree::root], &super)
                    : error;
        error = error == 0 ? sqfs_id_table_write(ids_.get(), file, &super, compressor) : error;
        if (has_xattrs_) {
            error = error == 0 ? sqfs_xattr_writer_flush(xattrs_.get(), file, &super, compressor)
                               : error;
        }
        if (error != 0) {
            return failed(window_, error, "tables");
        }
        return {};
    }

    [[nodiscard]] const Record& node_meta(Tree::NodeId node) const { return tree_.meta(node); }

    [[nodiscard]] std::uint16_t type_bits(Tree::NodeId node) const {
        switch (node_meta(node).kind) {
        case RecordKind::directory:
            return SQFS_INODE_MODE_DIR;
        case RecordKind::symlink:
            return SQFS_INODE_MODE_LNK;
        case RecordKind::char_device:
            return SQFS_INODE_MODE_CHR;
        case RecordKind::block_device:
            return SQFS_INODE_MODE_BLK;
        case RecordKind::fifo:
            return SQFS_INODE_MODE_FIFO;
        default:
            return SQFS_INODE_MODE_REG;
        }
    }

    Window& window_;
    const SquashfsFormat& format_;
    const Tree& tree_;
    const DataWriter& data_;
    const NamePool& xattr_sets_;
    std::vector<std::uint32_t> number_;    ///< inode number of a node, 0: none yet
    std::vector<std::uint32_t> links_;     ///< names of a leaf; subdirectories of a directory
    std::vector<std::uint64_t> reference_; ///< where its inode lies, plus 1; 0: not written
    std::uint32_t inodes_ = 0;
    DirectoryInode finished_;
    std::vector<std::uint64_t> buffer_;
    bool has_xattrs_ = false;
    // Destroyed from the last to the first: the library does not count references.
    Owned<sqfs_compressor_t> compressor_;
    Owned<sqfs_id_table_t> ids_;
    Owned<sqfs_xattr_writer_t> xattrs_;
    Owned<sqfs_meta_writer_t> inode_writer_;
    Owned<sqfs_meta_writer_t> directory_meta_;
    Owned<sqfs_dir_writer_t> directories_;
};

} // namespace

std::string pack_xattrs(const std::vector<std::pair<std::string, std::string>>& xattrs) {
    base::Packer packer;
    for (const auto& [name, value] : xattrs) {
        packer.text(name);
        packer.text(value);
    }
    return packer.take();
}

std::uint32_t pack_device(std::uint32_t major, std::uint32_t minor) noexcept {
    return (major & 0xfffU) << 8U | (minor & 0xffU) | (minor & 0xfff00U) << 12U;
}

Result<std::uint64_t> begin_squashfs(int fd, std::uint64_t base, const SquashfsFormat& format) {
    Window window;
    open_window(window, fd, base, 0);
    TRY_ASSIGN(const auto compressor, make_compressor(format));
    bool written = false;
    return write_options(window, *compressor, written);
}

Result<SquashfsSize> finish_squashfs(int fd, std::uint64_t base, const SquashfsFormat& format,
                                     const Tree& tree, const DataWriter& data,
                                     const NamePool& xattr_sets) {
    Window window;
    open_window(window, fd, base, 0);
    sqfs_super_t super;
    const int error = sqfs_super_init(&super, format.block_size, 0, id_of(format));
    if (error != 0) {
        return failed(window, error, "superblock");
    }
    TRY_ASSIGN(const auto compressor, make_compressor(format));
    bool options = false;
    TRY(write_options(window, *compressor, options)); // the same bytes again
    if (options) {
        super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
    }
    window.end = data.end_of_data();

    TableWriter writer(window, format, tree, data, xattr_sets);
    TRY_ASSIGN(const std::uint32_t inodes, writer.run(super));
    super.bytes_used = window.end;
    super.flags = static_cast<sqfs_u16>(super.flags & ~SQFS_FLAG_ALWAYS_FRAGMENTS);
    if (const int status = sqfs_super_write(&super, &window.file); status != 0) {
        return failed(window, status, "superblock");
    }
    SquashfsSize size{super.bytes_used, 0, inodes};
    size.padded = (size.bytes + alignment - 1) / alignment * alignment;
    const std::array<std::uint8_t, alignment> zeros{};
    TRY(write_image(fd, std::span(zeros).first(size.padded - size.bytes), base + size.bytes));
    return size;
}

} // namespace slipway::prefetch::convert
