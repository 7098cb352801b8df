// SPDX-License-Identifier: Apache-2.0
#include "store/provenance.hpp"

#include "base/json.hpp"
#include "store/store.hpp"

#include <concepts>
#include <type_traits>

namespace slipway::store {
namespace {

namespace json = base::json;

// ---- the lists: R is the record, constant or not ------------------------------------------------

template <typename R, typename Record>
concept Either = std::same_as<std::remove_const_t<R>, Record>;

template <Either<Provenance> R, typename Visit> void each_field(R& record, const Visit& visit) {
    visit("id", record.id);
    visit("reference", record.reference);
    visit("origin", record.origin);
    visit("manifest_digest", record.manifest_digest);
    visit("platform", record.platform);
    visit("options", record.options);
    visit("format", record.format);
    visit("output_digest", record.output_digest);
    visit("output_size", record.output_size);
    visit("layers", record.layers);
    visit("uid", record.uid);
    visit("host", record.host);
    visit("created", record.created);
    visit("duration_ms", record.duration_ms);
    visit("tool_version", record.tool_version);
    visit("private_credentials", record.private_credentials);
}

template <Either<RefRecord> R, typename Visit> void each_field(R& record, const Visit& visit) {
    visit("reference", record.reference);
    visit("digest", record.digest);
    visit("platform", record.platform);
    visit("id", record.id);
    visit("when", record.when);
}

// ---- writing and reading ------------------------------------------------------------------------

template <typename Record> std::string written(const Record& record) {
    json::Value object;
    each_field(record, [&](const char* key, const auto& value) { object[key] = value; });
    return json::indented(object) + "\n";
}

void read_field(json::Reader& reader, const char* key, std::string& value) {
    value = reader.text(key);
}
void read_field(json::Reader& reader, const char* key, bool& value) {
    value = reader.boolean(key);
}
void read_field(json::Reader& reader, const char* key, std::uint64_t& value) {
    value = reader.number(key).value_or(0);
}
void read_field(json::Reader& reader, const char* key, std::uint32_t& value) {
    value = static_cast<std::uint32_t>(reader.number(key).value_or(0));
}
void read_field(json::Reader& reader, const char* key, std::int64_t& value) {
    value = reader.signed_number(key).value_or(0);
}
void read_field(json::Reader& reader, const char* key, std::vector<std::string>& value) {
    value = reader.texts(key);
}

/// A record of ours always has all of its members.
template <typename Record>
base::Result<Record> read_record(std::string_view text, std::string_view what) {
    const auto object = json::parse_object(text, text.size(), base::Code::store_corrupt, what);
    Record record;
    bool ok = bool(object);
    if (object) {
        json::Reader reader(*object);
        each_field(record, [&](const char* key, auto& value) {
            ok = ok && json::member(*object, key) != nullptr;
            read_field(reader, key, value);
        });
        ok = ok && reader.ok();
        if constexpr (std::same_as<Record, RefRecord>) {
            ok = ok && is_image_id(record.id); // it leads to an image
        }
    }
    if (!ok) {
        return base::fail(base::Code::store_corrupt, std::string(what) + " is damaged",
                          "run `slipway cache fsck`");
    }
    return record;
}

} // namespace

std::string to_json(const Provenance& provenance) {
    return written(provenance);
}

base::Result<Provenance> provenance_from_json(std::string_view text) {
    return read_record<Provenance>(text, "a provenance file");
}

std::string to_json(const RefRecord& record) {
    return written(record);
}

base::Result<RefRecord> ref_from_json(std::string_view text) {
    return read_record<RefRecord>(text, "a reference record");
}

} // namespace slipway::store
