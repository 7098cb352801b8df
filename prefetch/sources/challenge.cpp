// SPDX-License-Identifier: Apache-2.0
#include "prefetch/sources/challenge.hpp"

#include "base/json.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>

namespace slipway::prefetch::sources {
namespace {

using base::Code;
using base::fail;

constexpr std::size_t max_challenges = 16;
constexpr std::size_t max_parameters = 32;
constexpr std::size_t max_token_answer = 64 * 1024;

bool is_token_char(char c) noexcept {
    return base::is_alphanumeric(c) ||
           std::string_view("!#$%&'*+-.^_`|~/").find(c) != std::string_view::npos;
}

/// Reads one field value from left to right.
class FieldReader {
  public:
    explicit FieldReader(std::string_view text) : text_(text) {}

    void read_into(std::vector<Challenge>& out) {
        for (;;) {
            skip(" \t,");
            const auto word = token();
            if (word.empty() || out.size() >= max_challenges) {
                return;
            }
            skip(" \t");
            if (at('=') && !out.empty() && fresh_) {
                if (!parameter(word, out.back())) {
                    return;
                }
                continue;
            }
            out.push_back({base::to_lower(word), {}});
            fresh_ = true;
            skip_token68();
        }
    }

  private:
    bool parameter(std::string_view name, Challenge& challenge) {
        ++position_; // '='
        skip(" \t");
        std::string value;
        if (at('"')) {
            if (!quoted(value)) {
                return false;
            }
        } else {
            value = std::string(token());
        }
        if (challenge.parameters.size() < max_parameters) {
            challenge.parameters.emplace(base::to_lower(name), std::move(value));
        }
        return true;
    }

    bool quoted(std::string& value) {
        ++position_;
        while (position_ < text_.size() && text_[position_] != '"') {
            if (text_[position_] == '\\' && position_ + 1 < text_.size()) {
                ++position_;
            }
            value += text_[position_++];
        }
        if (position_ >= text_.size()) {
            return false;
        }
        ++position_;
        return true;
    }

    /// "Negotiate YIIB==": one opaque word behind the scheme, ended by a comma or the end.
    void skip_token68() {
        auto end = position_;
        while (end < text_.size() && is_token_char(text_[end])) {
            ++end;
        }
        auto after = end;
        while (after < text_.size() && text_[after] == '=') {
            ++after;
        }
        auto next = after;
        while (next < text_.size() && (text_[next] == ' ' || text_[next] == '\t')) {
            ++next;
        }
        if (end > position_ && (next == text_.size() || text_[next] == ',')) {
            position_ = next;
        }
    }

    std::string_view token() {
        const auto begin = position_;
        while (position_ < text_.size() && is_token_char(text_[position_])) {
            ++position_;
        }
        return text_.substr(begin, position_ - begin);
    }
    void skip(std::string_view what) {
        while (position_ < text_.size() && what.find(text_[position_]) != std::string_view::npos) {
            ++position_;
        }
    }
    [[nodiscard]] bool at(char c) const { return position_ < text_.size() && text_[position_] == c; }

    std::string_view text_;
    std::size_t position_ = 0;
    bool fresh_ = false; ///< a scheme has been read in this field: parameters belong to it
};

std::string secret_member(base::json::Value& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) {
        return {};
    }
    auto& text = found->get_ref<std::string&>();
    std::string copy = text;
    base::wipe(text);
    return copy;
}

} // namespace

std::vector<Challenge> parse_challenges(const std::vector<std::string>& fields) {
    std::vector<Challenge> challenges;
    for (const auto& field : fields) {
        FieldReader(field).read_into(challenges);
    }
    return challenges;
}

void TokenService::merge_scopes(std::string_view space_separated) {
    for (const auto scope : base::split(space_separated, ' ')) {
        if (!scope.empty() && scopes.size() < 16 &&
            std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) {
            scopes.emplace_back(scope);
        }
    }
}

base::Result<transfer::Url> token_url(const TokenService& service, std::string_view account) {
    TRY_ASSIGN(auto url, transfer::Url::parse(service.realm));
    char separator = url.target.find('?') == std::string::npos ? '?' : '&';
    const auto add = [&](std::string_view key, std::string_view value) {
        if (!value.empty()) {
            url.target += separator;
            url.target += key;
            url.target += '=';
            url.target += transfer::encode_query(value);
            separator = '&';
        }
    };
    add("account", account);
    add("service", service.service);
    for (const auto& scope : service.scopes) {
        add("scope", scope);
    }
    return url;
}

base::Secret token_form(const TokenService& service, const base::Secret& identity_token) {
    std::string scopes;
    for (const auto& scope : service.scopes) {
        scopes += scopes.empty() ? scope : " " + scope;
    }
    std::string encoded = transfer::encode_query(identity_token.reveal());
    const base::WipeAtEnd wiping(encoded);
    return base::Secret::join({"grant_type=refresh_token&client_id=slipway&service=",
                         transfer::encode_query(service.service), "&scope=", transfer::encode_query(scopes),
                         "&refresh_token=", encoded});
}

base::Result<Token> parse_token(std::string_view body) {
    TRY_ASSIGN(auto document,
               base::json::parse_object(body, max_token_answer, Code::source_protocol,
                                        "the answer of the token service"));
    auto text = secret_member(document, "token");
    const base::WipeAtEnd wiping(text);
    auto access = secret_member(document, "access_token");
    const base::WipeAtEnd wiping_access(access);
    const auto& chosen = text.empty() ? access : text;
    const bool clean = std::all_of(chosen.begin(), chosen.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (chosen.empty() || !clean) {
        return fail(Code::source_protocol, "the token service gave no token");
    }
    Token token;
    token.value = base::Secret(chosen);
    const auto expires = document.find("expires_in");
    if (expires != document.end() && expires->is_number_unsigned()) {
        const auto seconds = std::clamp<std::uint64_t>(expires->get<std::uint64_t>(), 60, 24 * 3600);
        token.lifetime = std::chrono::seconds(seconds);
    }
    return token;
}

} // namespace slipway::prefetch::sources
