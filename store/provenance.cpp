// SPDX-License-Identifier: Apache-2.0
#include "store/provenance.hpp"

#include "base/json.hpp"
#include "store/store.hpp"

namespace slipway::store {
namespace {

namespace json = base::json;

constexpr const char* look_with_fsck = "run `slipway cache fsck`";

/// Members that a record of ours always has.
class Record {
  public:
    explicit Record(const json::Value& object) : object_(object), reader_(object) {}

    std::string text(const char* key) { return present(key) ? reader_.text(key) : std::string(); }
    bool boolean(const char* key) { return present(key) && reader_.boolean(key); }
    std::uint64_t number(const char* key) {
        return present(key) ? reader_.number(key).value_or(0) : 0;
    }
    std::int64_t signed_number(const char* key) {
        return present(key) ? reader_.signed_number(key).value_or(0) : 0;
    }
    std::vector<std::string> texts(const char* key) {
        return present(key) ? reader_.texts(key) : std::vector<std::string>();
    }
    [[nodiscard]] bool ok() const { return !missing_ && reader_.ok(); }

  private:
    bool present(const char* key) {
        missing_ = missing_ || json::member(object_, key) == nullptr;
        return !missing_;
    }

    const json::Value& object_;
    json::Reader reader_;
    bool missing_ = false;
};

} // namespace

std::string to_json(const Provenance& p) {
    return json::indented(json::Value{{"id", p.id},
                     {"reference", p.reference},
                     {"origin", p.origin},
                     {"manifest_digest", p.manifest_digest},
                     {"platform", p.platform},
                     {"options", p.options},
                     {"format", p.format},
                     {"output_digest", p.output_digest},
                     {"output_size", p.output_size},
                     {"layers", p.layers},
                     {"uid", p.uid},
                     {"host", p.host},
                     {"created", p.created},
                     {"duration_ms", p.duration_ms},
                     {"tool_version", p.tool_version},
                     {"private_credentials", p.private_credentials}}) +
           "\n";
}

base::Result<Provenance> provenance_from_json(std::string_view text) {
    const auto object = json::parse_object(text, text.size(), base::Code::store_corrupt,
                                           "a provenance file");
    Provenance p;
    bool ok = false;
    if (object) {
        Record record(*object);
        p.id = record.text("id");
        p.reference = record.text("reference");
        p.origin = record.text("origin");
        p.manifest_digest = record.text("manifest_digest");
        p.platform = record.text("platform");
        p.options = record.text("options");
        p.format = record.text("format");
        p.output_digest = record.text("output_digest");
        p.output_size = record.number("output_size");
        p.layers = record.texts("layers");
        p.uid = static_cast<std::uint32_t>(record.number("uid"));
        p.host = record.text("host");
        p.created = record.signed_number("created");
        p.duration_ms = record.number("duration_ms");
        p.tool_version = record.text("tool_version");
        p.private_credentials = record.boolean("private_credentials");
        ok = record.ok();
    }
    if (!ok) {
        return base::fail(base::Code::store_corrupt, "a provenance file is damaged",
                          look_with_fsck);
    }
    return p;
}

std::string to_json(const RefRecord& r) {
    return json::indented(json::Value{{"reference", r.reference},
                     {"digest", r.digest},
                     {"platform", r.platform},
                     {"id", r.id},
                     {"when", r.when}}) +
           "\n";
}

base::Result<RefRecord> ref_from_json(std::string_view text) {
    const auto object = json::parse_object(text, text.size(), base::Code::store_corrupt,
                                           "a reference record");
    RefRecord r;
    bool ok = false;
    if (object) {
        Record record(*object);
        r.reference = record.text("reference");
        r.digest = record.text("digest");
        r.platform = record.text("platform");
        r.id = record.text("id");
        r.when = record.signed_number("when");
        ok = record.ok();
    }
    if (!ok || !is_image_id(r.id)) {
        return base::fail(base::Code::store_corrupt, "a reference record is damaged",
                          look_with_fsck);
    }
    return r;
}

} // namespace slipway::store
