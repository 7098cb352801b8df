// SPDX-License-Identifier: Apache-2.0
#include "prefetch/credentials/docker_config.hpp"

#include "base/base64.hpp"
#include "base/format.hpp"
#include "base/json.hpp"
#include "base/registry_host.hpp"
#include "base/text.hpp"

#include <algorithm>

namespace slipway::prefetch::credentials {
namespace {

using base::Code;
using base::fail;
using base::json::Value;

constexpr std::size_t max_text = 1 << 20;

/// Parsed JSON whose strings are wiped when it goes: most of them are secrets.
class WipedJson {
  public:
    explicit WipedJson(std::string_view text) {
        auto parsed = base::json::parse_object(text, max_text, Code::credentials_invalid, "it");
        if (parsed) {
            value_ = std::move(*parsed);
        }
    }
    WipedJson(const WipedJson&) = delete;
    WipedJson& operator=(const WipedJson&) = delete;
    ~WipedJson() { wipe_strings(value_); }
    Value& operator*() noexcept { return value_; }

  private:
    static void wipe_strings(Value& value) {
        if (value.is_string()) {
            base::wipe(value.get_ref<std::string&>());
        } else if (value.is_structured()) {
            for (auto& item : value) {
                wipe_strings(item);
            }
        }
    }
    Value value_;
};

std::string_view text_of(const Value& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string()
               ? std::string_view(found->get_ref<const std::string&>())
               : std::string_view();
}

const Value* object_of(const Value& parent, const char* key) {
    const auto found = parent.find(key);
    return found != parent.end() && found->is_object() ? &*found : nullptr;
}

/// "user:password" out of an "auth" member; the password may hold colons, and old clients padded it
/// with NUL.
bool decode_auth(std::string_view encoded, Credential& into) {
    auto plain = base::base64_decode(encoded);
    if (!plain) {
        return false;
    }
    const base::WipeAtEnd wiping(*plain);
    const auto colon = plain->find(':');
    if (colon == std::string::npos) {
        return false;
    }
    std::string_view password = std::string_view(*plain).substr(colon + 1);
    while (!password.empty() && password.back() == '\0') {
        password.remove_suffix(1);
    }
    into.username = plain->substr(0, colon);
    into.password = base::Secret(password);
    return true;
}

base::Result<std::optional<Credential>> credential_of(const std::string& key, const Value& entry) {
    Credential credential;
    credential.origin = CredentialOrigin::auth_file;
    credential.identity_token = base::Secret(text_of(entry, "identitytoken"));
    credential.username = std::string(text_of(entry, "username"));
    credential.password = base::Secret(text_of(entry, "password"));
    const auto encoded = text_of(entry, "auth");
    if (!encoded.empty() && !decode_auth(encoded, credential)) {
        return fail(Code::credentials_invalid,
                    fmt::format("the entry for {} has an \"auth\" that is not base64 of "
                                "user:password",
                                base::in_quotes(key)),
                    "log in again with the tool that wrote the file");
    }
    // Docker writes the user <token> beside identity tokens.
    if (credential.username == "<token>") {
        if (credential.identity_token.empty()) {
            credential.identity_token = credential.password;
        }
        credential.password = base::Secret();
    }
    if (credential.identity_token.empty() && credential.password.empty()) {
        return std::optional<Credential>();
    }
    return std::optional<Credential>(std::move(credential));
}

} // namespace

base::Secret basic_authorization(const Credential& credential) {
    std::string plain;
    plain.reserve(credential.username.size() + 1 + credential.password.reveal().size());
    const base::WipeAtEnd wiping(plain);
    plain += credential.username;
    plain += ':';
    plain += credential.password.reveal();
    auto encoded = base::base64_encode(plain);
    const base::WipeAtEnd wiping_encoded(encoded);
    return base::Secret::join({"Basic ", encoded});
}

std::string credential_key(std::string_view written) {
    if (const auto scheme = written.find("://"); scheme != std::string_view::npos) {
        written.remove_prefix(scheme + 3);
    }
    const auto drop_slashes = [&] {
        while (!written.empty() && written.back() == '/') {
            written.remove_suffix(1);
        }
    };
    drop_slashes();
    for (const std::string_view version : {"/v1", "/v2"}) {
        if (written.size() > version.size() &&
            written.substr(written.size() - version.size()) == version) {
            written.remove_suffix(version.size());
            drop_slashes();
        }
    }
    std::string key(written);
    const auto host_end = std::min(key.find('/'), key.size());
    if (auto host = base::canonical_registry_host(std::string_view(key).substr(0, host_end))) {
        key.replace(0, host_end, *host);
    }
    return key;
}

std::vector<std::string> credential_keys(std::string_view host, std::string_view repository) {
    std::vector<std::string> keys;
    const auto base = credential_key(host);
    while (!repository.empty()) {
        keys.push_back(fmt::format("{}/{}", base, repository));
        const auto slash = repository.rfind('/');
        repository = slash == std::string_view::npos ? std::string_view() : repository.substr(0, slash);
    }
    keys.push_back(base);
    return keys;
}

base::Result<DockerConfig> parse_docker_config(std::string_view text) {
    WipedJson document(text);
    if (!(*document).is_object()) {
        return fail(Code::credentials_invalid, "the file is not a JSON object",
                    "repair it or log in again with the tool that wrote it");
    }
    DockerConfig config;
    if (const auto* auths = object_of(*document, "auths")) {
        for (const auto& [key, entry] : auths->items()) {
            if (!entry.is_object()) {
                continue;
            }
            TRY_ASSIGN(auto credential, credential_of(key, entry));
            if (credential) {
                config.auths.insert_or_assign(credential_key(key), std::move(*credential));
            }
        }
    }
    if (const auto* helpers = object_of(*document, "credHelpers")) {
        for (const auto& [key, name] : helpers->items()) {
            if (name.is_string() && !name.get_ref<const std::string&>().empty()) {
                config.helpers.insert_or_assign(credential_key(key), name.get<std::string>());
            }
        }
    }
    config.store = std::string(text_of(*document, "credsStore"));
    return config;
}

base::Result<Credential> parse_helper_answer(std::string_view text) {
    WipedJson document(text);
    if (!(*document).is_object()) {
        return fail(Code::credentials_invalid, "the credential helper did not answer with JSON");
    }
    Credential credential;
    credential.origin = CredentialOrigin::helper;
    credential.username = std::string(text_of(*document, "Username"));
    const auto secret = text_of(*document, "Secret");
    if (secret.empty()) {
        return fail(Code::credentials_invalid, "the credential helper gave no secret");
    }
    (credential.username == "<token>" ? credential.identity_token : credential.password) =
        base::Secret(secret);
    return credential;
}

Netrc parse_netrc(std::string_view text) {
    Netrc netrc;
    std::vector<std::string_view> words;
    for (auto line : base::split(text, '\n')) {
        line = base::trim(line);
        if (line.empty() || line.front() == '#') {
            continue;
        }
        for (const auto word : base::split(line, ' ')) {
            for (const auto piece : base::split(word, '\t')) {
                const auto clean = piece.substr(0, piece.find('\r'));
                if (!clean.empty()) {
                    words.push_back(clean);
                }
            }
        }
    }
    std::string machine;
    std::string login;
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
        if (words[i] == "machine") {
            machine = credential_key(words[++i]);
            login.clear();
        } else if (words[i] == "login") {
            login = std::string(words[++i]);
        } else if (words[i] == "password") {
            const auto password = words[++i];
            if (password.front() == '$') {
                ++netrc.skipped;
            } else if (!machine.empty()) {
                Credential credential{login, base::Secret(password), {}, CredentialOrigin::auth_file};
                netrc.machines.try_emplace(machine, std::move(credential));
            }
        }
    }
    return netrc;
}

} // namespace slipway::prefetch::credentials
