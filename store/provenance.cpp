// SPDX-License-Identifier: Apache-2.0
#include "store/provenance.hpp"

#include "store/store.hpp"

#include <nlohmann/json.hpp>

namespace slipway::store {
namespace {

using nlohmann::json;

/// Text with bytes that are no UTF-8 (a host name, a file name) must not throw: they are replaced.
std::string dump(const json& value) {
    return value.dump(1, '\t', false, json::error_handler_t::replace) + "\n";
}

template <typename T> void read(const json& object, const char* key, T& target, bool& ok) {
    const auto found = object.find(key);
    if (found == object.end()) {
        ok = false;
        return;
    }
    try {
        found->get_to(target);
    } catch (const json::exception&) {
        ok = false;
    }
}

} // namespace

std::string to_json(const Provenance& p) {
    return dump(json{{"id", p.id},
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
                     {"private_credentials", p.private_credentials}});
}

base::Result<Provenance> provenance_from_json(std::string_view text) {
    const json object = json::parse(text, nullptr, false);
    Provenance p;
    bool ok = object.is_object();
    if (ok) {
        read(object, "id", p.id, ok);
        read(object, "reference", p.reference, ok);
        read(object, "origin", p.origin, ok);
        read(object, "manifest_digest", p.manifest_digest, ok);
        read(object, "platform", p.platform, ok);
        read(object, "options", p.options, ok);
        read(object, "format", p.format, ok);
        read(object, "output_digest", p.output_digest, ok);
        read(object, "output_size", p.output_size, ok);
        read(object, "layers", p.layers, ok);
        read(object, "uid", p.uid, ok);
        read(object, "host", p.host, ok);
        read(object, "created", p.created, ok);
        read(object, "duration_ms", p.duration_ms, ok);
        read(object, "tool_version", p.tool_version, ok);
        read(object, "private_credentials", p.private_credentials, ok);
    }
    if (!ok) {
        return base::fail(base::Code::store_corrupt, "a provenance file is damaged",
                          "run `slipway cache fsck`");
    }
    return p;
}

std::string to_json(const RefRecord& r) {
    return dump(json{{"reference", r.reference},
                     {"digest", r.digest},
                     {"platform", r.platform},
                     {"id", r.id},
                     {"when", r.when}});
}

base::Result<RefRecord> ref_from_json(std::string_view text) {
    const json object = json::parse(text, nullptr, false);
    RefRecord r;
    bool ok = object.is_object();
    if (ok) {
        read(object, "reference", r.reference, ok);
        read(object, "digest", r.digest, ok);
        read(object, "platform", r.platform, ok);
        read(object, "id", r.id, ok);
        read(object, "when", r.when, ok);
    }
    if (!ok || !is_image_id(r.id)) {
        return base::fail(base::Code::store_corrupt, "a reference record is damaged",
                          "run `slipway cache fsck`");
    }
    return r;
}

} // namespace slipway::store
