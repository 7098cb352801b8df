// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/name_pool.hpp"

#include "base/format.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <sys/random.h>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t longest_name = 255;

using Key = std::array<std::uint64_t, 2>;

const Key& secret() noexcept {
    static const Key key = [] {
        Key fresh{0x736c697077617921ULL, 0x636f6e7665727421ULL};
        // Without entropy the fixed key still hashes correctly.
        if (getrandom(fresh.data(), sizeof fresh, GRND_NONBLOCK) < 0) {
            fresh[0] ^= reinterpret_cast<std::uintptr_t>(&fresh);
        }
        return fresh;
    }();
    return key;
}

using State = std::array<std::uint64_t, 4>;

void sip_round(State& v) noexcept {
    v[0] += v[1];
    v[1] = std::rotl(v[1], 13) ^ v[0];
    v[0] = std::rotl(v[0], 32);
    v[2] += v[3];
    v[3] = std::rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = std::rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = std::rotl(v[1], 17) ^ v[2];
    v[2] = std::rotl(v[2], 32);
}

/// SipHash-1-3 (Aumasson, Bernstein).
std::uint64_t text_hash(std::string_view text) noexcept {
    const Key& key = secret();
    State v{key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL,
            key[0] ^ 0x6c7967656e657261ULL, key[1] ^ 0x7465646279746573ULL};
    std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56U;
    while (!text.empty()) {
        std::uint64_t word = 0;
        const std::size_t part = std::min<std::size_t>(text.size(), 8);
        std::memcpy(&word, text.data(), part);
        text.remove_prefix(part);
        if (part < 8) {
            last |= word;
            break;
        }
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

} // namespace

std::uint64_t pair_hash(std::uint32_t a, std::uint32_t b) noexcept {
    std::uint64_t x = ((static_cast<std::uint64_t>(a) << 32U) | b) ^ secret()[0];
    x ^= x >> 33U;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33U;
    x += secret()[1];
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33U;
    return x;
}

Result<NameId> NamePool::add(std::string_view text) {
    const std::uint64_t hash = text_hash(text);
    const auto found = table_.find(hash, [&](NameId id) { return this->text(id) == text; });
    if (found != IdTable::none) {
        return found;
    }
    if (text_.size() + text.size() > UINT32_MAX || ends_.size() >= UINT32_MAX - 2) {
        return fail(Code::limit_exceeded, "the image has more than 4 GiB of file names");
    }
    TRY(budget_.take(bytes_ + text.size() * factor_));
    const auto id = static_cast<NameId>(ends_.size() - 1);
    text_.append(text.data(), text.size());
    ends_.push_back(static_cast<std::uint32_t>(text_.size()));
    table_.insert(hash, id, [&](NameId other) { return text_hash(this->text(other)); });
    return id;
}

Result<PathId> PathPool::child(PathId parent, NameId name) {
    const std::uint64_t hash = pair_hash(parent, name);
    const auto found = table_.find(hash, [&](PathId id) {
        return nodes_[id].parent == parent && nodes_[id].name == name;
    });
    if (found != IdTable::none) {
        return found;
    }
    if (nodes_.size() >= UINT32_MAX - 2) {
        return fail(Code::limit_exceeded, "the image has too many paths");
    }
    // A path of many folders costs a node for each of them.
    TRY(names_.budget().check_nodes(nodes_.size()));
    TRY(names_.budget().take(cost::path));
    const auto id = static_cast<PathId>(nodes_.size());
    nodes_.push_back({parent, name, 0, 0});
    table_.insert(hash, id, [&](PathId other) {
        return pair_hash(nodes_[other].parent, nodes_[other].name);
    });
    return id;
}

Result<PathPool::Cleaned> PathPool::add(std::string_view raw, const Limits& limits) {
    if (raw.size() > limits.path_bytes) {
        return fail(Code::limit_exceeded, fmt::format("a path of {} bytes in the layer is over the "
                                                      "limit of {} bytes",
                                                      raw.size(), limits.path_bytes));
    }
    Cleaned out;
    std::size_t depth = 0;
    for (const std::string_view part : base::split(raw, '/')) {
        if (part.empty() || part == ".") {
            continue;
        }
        if (part == "..") {
            out.climbed = true;
            depth -= out.path == root ? 0 : 1;
            out.path = nodes_[out.path].parent; // the root is its own parent
            continue;
        }
        if (part.size() > longest_name || part.find('\0') != std::string_view::npos) {
            return fail(Code::layer_invalid,
                        fmt::format("entry {} has an impossible name: over 255 bytes, or with a "
                                    "NUL byte",
                                    base::in_quotes(raw)));
        }
        if (++depth > limits.depth) {
            return fail(Code::limit_exceeded,
                        fmt::format("entry {} lies deeper than the limit of {} folders",
                                    base::in_quotes(raw), limits.depth));
        }
        TRY_ASSIGN(const NameId name, names_.add(part));
        TRY_ASSIGN(out.path, child(out.path, name));
    }
    return out;
}

Result<PathId> PathPool::sibling(PathId id, std::string_view name) {
    TRY_ASSIGN(const NameId name_id, names_.add(name));
    return child(nodes_[id].parent, name_id);
}

std::string PathPool::text(PathId id) const {
    std::vector<NameId> names;
    components(id, names);
    std::string out;
    for (const NameId name : names) {
        out += out.empty() ? "" : "/";
        out += names_.text(name);
    }
    return out.empty() ? "." : out;
}

void PathPool::components(PathId id, std::vector<NameId>& out) const {
    out.clear();
    for (; id != root; id = nodes_[id].parent) {
        out.push_back(nodes_[id].name);
    }
    std::reverse(out.begin(), out.end());
}

bool PathPool::hidden(PathId id, std::uint16_t layer) const noexcept {
    if (nodes_[id].covered > layer + 1U) {
        return true;
    }
    while (id != root) {
        id = nodes_[id].parent;
        if (nodes_[id].covered_below > layer + 1U) {
            return true;
        }
    }
    return false;
}

} // namespace slipway::prefetch::convert
