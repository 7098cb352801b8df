// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "prefetch/convert/contract.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What a conversion's process (slipway-convert, the child) and the one that wants the image (the
/// parent) say to each other. The child has read hostile layers and may be anybody's by then: the
/// parent bounds and checks each of its messages. The child trusts its parent, but reads with the
/// same care.
///
/// The child inherits three descriptors: a SOCK_SEQPACKET socket, the file that it works on (the
/// empty output, or the finished image that it checks), and a sealed file that holds its Order.
/// Then, each in one packet:
///   child:  OpenLayer    I want this layer from its first byte, under this serial number
///   parent: LayerBlob    here it is: a part of a regular file, or the reading end of a pipe
///   parent: LayerEnd     the pipe of that number has ended because all is said
///   parent: LayerFailed  … or because of this; also the answer when it cannot be opened at all
///   child:  CloseLayer   I do not need that one any longer
///   child:  LayerBytes, PhaseChange   progress
///   child:  Done or Failed, once, as its last message
/// Whoever sees the socket's end goes: the parent is dead, or the child is.
namespace slipway::prefetch::convert {

inline constexpr int control_fd = 3; ///< numbers in the child
inline constexpr int file_fd = 4;
inline constexpr int request_fd = 5;

inline constexpr std::size_t max_message = 48U << 10U;   ///< bytes of one packet
inline constexpr std::size_t max_order = 128U << 20U;    ///< bytes of an Order
inline constexpr std::size_t max_error_text = 16U << 10U; ///< message or hint; longer ones are cut

/// Everything that a conversion depends on, besides the bytes of the layers.
struct Request {
    struct Layer {
        image::Descriptor blob;
        image::Digest diff_id;
    };
    ConvertOptions options; ///< without `stop`
    std::vector<Layer> layers;
    NativeParts native;
};

/// What the child is there for. A check gives Done, with the size alone, or Failed.
using Order = std::variant<Request, FinishedCheck>;

struct OpenLayer {
    std::uint32_t serial = 0; ///< 0, 1, 2, …
    std::uint32_t layer = 0;  ///< 0 is the lowest
};
struct CloseLayer {
    std::uint32_t serial = 0;
};
struct LayerBytes {
    std::uint32_t layer = 0;
    std::uint64_t bytes = 0; ///< more of its blob were read
};
struct PhaseChange {
    ConvertPhase phase = ConvertPhase::layers;
};
struct Done {
    ConvertReport report;
};
struct Failed {
    base::Error error;
};
using FromChild = std::variant<OpenLayer, CloseLayer, LayerBytes, PhaseChange, Done, Failed>;

struct LayerBlob {
    std::uint32_t serial = 0;
    bool pipe = false;        ///< the descriptor comes with the packet
    std::uint64_t offset = 0; ///< of a regular file
    std::uint64_t size = 0;
};
struct LayerEnd {
    std::uint32_t serial = 0;
};
struct LayerFailed {
    std::uint32_t serial = 0;
    base::Error error;
};
using FromParent = std::variant<LayerBlob, LayerEnd, LayerFailed>;

std::string encode(const Order& order);
std::string encode(const FromChild& message);
std::string encode(const FromParent& message);

/// Code::internal for anything that encode() does not make: unknown kinds, numbers out of range,
/// text that is cut off or left over.
base::Result<Order> decode_order(std::string_view bytes);
base::Result<FromChild> decode_from_child(std::string_view bytes);
base::Result<FromParent> decode_from_parent(std::string_view bytes);

} // namespace slipway::prefetch::convert
