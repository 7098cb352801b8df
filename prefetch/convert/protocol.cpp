// SPDX-License-Identifier: Apache-2.0
#include "prefetch/convert/protocol.hpp"

#include "base/cursor.hpp"

#include <algorithm>
#include <concepts>
#include <optional>

namespace slipway::prefetch::convert {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t most_layers = UINT16_MAX;
constexpr std::size_t most_entries = 1000; ///< of the native tree; it has about thirty
constexpr std::size_t most_warnings = 16;
constexpr std::size_t max_name = 4096;

/// The writing side of a codec: each field in the order of fields().
class Out {
  public:
    template <typename T>
        requires std::integral<T> || std::is_enum_v<T>
    void operator()(const T& value) {
        packer_.u64(static_cast<std::uint64_t>(value));
    }
    template <typename T> void choice(const T& value, T /*last*/) { (*this)(value); }
    template <typename T> void operator()(const std::optional<T>& value) {
        (*this)(value.has_value());
        (*this)(value.value_or(T{}));
    }
    void operator()(const std::string& text, std::size_t max) {
        packer_.text(std::string_view(text).substr(0, max));
    }
    void operator()(const image::Digest& digest) { (*this)(digest.text(), max_name); }
    void operator()(const base::Error& error) {
        (*this)(std::string(base::code_name(error.code)), max_name);
        packer_.u32(static_cast<std::uint32_t>(error.sys_errno));
        (*this)(error.message, max_error_text);
        (*this)(error.hint, max_error_text);
    }
    template <typename T, typename Each>
    void list(const std::vector<T>& items, std::size_t max, Each each) {
        const std::size_t count = std::min(items.size(), max);
        packer_.u32(static_cast<std::uint32_t>(count));
        for (std::size_t i = 0; i < count; ++i) {
            each(*this, items[i]);
        }
    }
    std::string take() { return packer_.take(); }

  private:
    base::Packer packer_;
};

/// The reading side; complete() says in the end whether all fields were there and in range.
class In {
  public:
    explicit In(std::string_view bytes) : cursor_(bytes) {}

    template <typename T>
        requires std::integral<T>
    void operator()(T& value) {
        const std::uint64_t raw = cursor_.u64();
        value = static_cast<T>(raw);
        // A negative number has all high bits set; what was cut off does not come back.
        check(static_cast<std::uint64_t>(value) == raw);
    }
    template <typename T>
        requires std::is_enum_v<T>
    void operator()(T& value) {
        std::underlying_type_t<T> raw{};
        (*this)(raw);
        value = static_cast<T>(raw);
    }
    /// An enumerator up to `last`.
    template <typename T> void choice(T& value, T last) {
        (*this)(value);
        check(value <= last);
    }
    template <typename T> void operator()(std::optional<T>& value) {
        bool given = false;
        T inside{};
        (*this)(given);
        (*this)(inside);
        value = given ? std::optional<T>(inside) : std::nullopt;
    }
    void operator()(std::string& text, std::size_t max) { text = cursor_.text(max); }
    void operator()(image::Digest& digest) {
        const std::string_view text = cursor_.text(max_name);
        digest = {};
        if (!text.empty()) {
            auto parsed = image::Digest::parse(text);
            check(parsed.has_value());
            digest = parsed ? std::move(*parsed) : image::Digest();
        }
    }
    void operator()(base::Error& error) {
        error.code = base::code_from_name(cursor_.text(max_name));
        error.sys_errno = static_cast<int>(cursor_.u32());
        (*this)(error.message, max_error_text);
        (*this)(error.hint, max_error_text);
    }
    template <typename T, typename Each>
    void list(std::vector<T>& items, std::size_t max, Each each) {
        const std::uint32_t count = cursor_.u32();
        if (count > max) {
            cursor_.fail();
        }
        for (std::uint32_t i = 0; i < count && cursor_.ok(); ++i) {
            each(*this, items.emplace_back());
        }
    }
    void check(bool valid) {
        if (!valid) {
            cursor_.fail();
        }
    }
    [[nodiscard]] bool complete() const { return cursor_.ok() && cursor_.at_end(); }

  private:
    base::Cursor cursor_;
};

// One list of fields for both directions. `c` is Out or In, the value const or not.

void fields(auto& c, auto&& limits, const ConvertLimits*) {
    c(limits.layers);
    c(limits.entries);
    c(limits.image_bytes);
    c(limits.ratio);
    c(limits.path_bytes);
    c(limits.depth);
}

void fields(auto& c, auto&& options, const ConvertOptions*) {
    c(options.compressor);
    c(options.level);
    c(options.block_size);
    c(options.threads);
    c(options.memory);
    c(options.keep_owners);
    c(options.readable_by_all);
    fields(c, options.limits, static_cast<const ConvertLimits*>(nullptr));
}

void fields(auto& c, auto&& native, const NativeParts*) {
    c(native.deffile, image::max_document);
    c(native.inspect_metadata, image::max_document * 2);
    c(native.oci_config, image::max_document * 2);
    c(native.architecture, max_name);
    c(native.time);
    c.list(native.tree, most_entries, [](auto& codec, auto&& entry) {
        codec(entry.path, max_name);
        codec.choice(entry.kind, image::EntryKind::symlink);
        codec.choice(entry.rule, image::EntryRule::directory);
        codec(entry.mode);
        codec(entry.content, image::max_document * 2);
    });
}

void fields(auto& c, auto&& request, const Request*) {
    fields(c, request.options, static_cast<const ConvertOptions*>(nullptr));
    c.list(request.layers, most_layers, [](auto& codec, auto&& layer) {
        codec(layer.blob.digest);
        codec(layer.blob.size);
        codec(layer.blob.media_type, max_name);
        codec(layer.diff_id);
    });
    fields(c, request.native, static_cast<const NativeParts*>(nullptr));
}

void fields(auto& c, auto&& check, const FinishedCheck*) {
    c(check.name, max_name);
    c(check.size);
    c(check.architecture, max_name);
}

void fields(auto& c, auto&& open, const OpenLayer*) {
    c(open.serial);
    c(open.layer);
}
void fields(auto& c, auto&& close, const CloseLayer*) { c(close.serial); }
void fields(auto& c, auto&& bytes, const LayerBytes*) {
    c(bytes.layer);
    c(bytes.bytes);
}
void fields(auto& c, auto&& change, const PhaseChange*) { c.choice(change.phase, ConvertPhase::tables); }
void fields(auto& c, auto&& done, const Done*) {
    auto&& report = done.report;
    c(report.image_bytes);
    c(report.blob_bytes);
    c(report.tar_bytes);
    c(report.entries);
    c(report.inodes);
    c(report.masked_files);
    c(report.masked_bytes);
    c(report.dead_bytes);
    c(report.second_visits);
    c(report.duplicate_files);
    c(report.duplicate_bytes);
    c.list(report.warnings, most_warnings,
           [](auto& codec, auto&& warning) { codec(warning, max_name / 2); });
}
void fields(auto& c, auto&& failed, const Failed*) { c(failed.error); }

void fields(auto& c, auto&& blob, const LayerBlob*) {
    c(blob.serial);
    c(blob.pipe);
    c(blob.offset);
    c(blob.size);
}
void fields(auto& c, auto&& end, const LayerEnd*) { c(end.serial); }
void fields(auto& c, auto&& failed, const LayerFailed*) {
    c(failed.serial);
    c(failed.error);
}

template <typename... Kinds> std::string encode_variant(const std::variant<Kinds...>& message) {
    Out out;
    out(message.index());
    std::visit([&](const auto& what) { fields(out, what, &what); }, message);
    return out.take();
}

template <typename Variant, std::size_t Index = 0>
bool emplace_kind(Variant& message, std::uint64_t kind) {
    if constexpr (Index < std::variant_size_v<Variant>) {
        if (kind == Index) {
            message.template emplace<Index>();
            return true;
        }
        return emplace_kind<Variant, Index + 1>(message, kind);
    }
    return false;
}

template <typename Variant> Result<Variant> decode_variant(std::string_view bytes) {
    In in(bytes);
    std::uint64_t kind = 0;
    in(kind);
    Variant message;
    in.check(emplace_kind(message, kind));
    std::visit([&](auto& what) { fields(in, what, &what); }, message);
    if (!in.complete()) {
        return fail(Code::internal, "a message of a conversion makes no sense");
    }
    return message;
}

} // namespace

std::string encode(const Order& order) {
    return encode_variant(order);
}

std::string encode(const FromChild& message) {
    return encode_variant(message);
}

std::string encode(const FromParent& message) {
    return encode_variant(message);
}

Result<Order> decode_order(std::string_view bytes) {
    return decode_variant<Order>(bytes);
}

Result<FromChild> decode_from_child(std::string_view bytes) {
    return decode_variant<FromChild>(bytes);
}

Result<FromParent> decode_from_parent(std::string_view bytes) {
    return decode_variant<FromParent>(bytes);
}

} // namespace slipway::prefetch::convert
