// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/image_server/session.hpp"
#include "squashfs/reader/reader.hpp"

#include <linux/fuse.h>

namespace slipway::launcher::image_server {

/// One serving thread: a request at a time, from read(2) to writev(2).
class Worker {
  public:
    explicit Worker(Session& session);
    [[nodiscard]] bool ready() const noexcept { return reader_.ready(); }

    /// Waits for a request; its bytes, or 0 and `error`: ENODEV when the mount is gone.
    std::size_t receive(int& error) noexcept;
    /// Answers the request that receive() got, with ENOMEM when memory is short; an errno when the
    /// session cannot go on.
    int handle(std::size_t bytes) noexcept;

    /// Requests are small: this file system takes no writes. The kernel wants at least 8 KiB.
    static constexpr std::size_t request_bytes = 16U << 10U;
    /// Largest answer to a readdir.
    static constexpr std::size_t listing_bytes = 128U << 10U;

  private:
    int initialise(std::span<const std::uint8_t> body) noexcept;
    void lookup(std::span<const std::uint8_t> body);
    void get_attributes();
    void read_link();
    void open(bool directory);
    void read(std::span<const std::uint8_t> body);
    void read_directory(std::span<const std::uint8_t> body, bool plus);
    void get_xattr(std::span<const std::uint8_t> body, bool list);
    void statistics();
    void dispatch(std::span<const std::uint8_t> body);

    int load(std::uint64_t node, squashfs::reader::Inode& out);
    void fill_attributes(const squashfs::reader::Inode& inode, fuse_attr& out) const noexcept;
    void fill_entry(const squashfs::reader::Inode& inode, fuse_entry_out& out) const noexcept;
    struct ListingAnswer;
    bool add_dots(const squashfs::reader::Inode& directory, std::uint64_t& offset,
                  ListingAnswer& answer);

    void reply(const iovec* pieces, std::size_t count, std::size_t bytes) noexcept;
    void reply(const void* data, std::size_t bytes) noexcept;
    void reply_error(int error) noexcept;
    void reply_sized(const std::string& value, std::uint32_t room) noexcept;

    Session& session_;
    squashfs::reader::Reader reader_;
    squashfs::reader::FileData data_;
    std::vector<iovec> pieces_;
    std::string text_;
    std::unique_ptr<std::uint8_t[]> listing_;
    fuse_in_header header_{};
    alignas(8) std::uint8_t request_[request_bytes];
};

} // namespace slipway::launcher::image_server
