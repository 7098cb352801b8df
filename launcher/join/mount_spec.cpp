// SPDX-License-Identifier: Apache-2.0
#include "launcher/join/mount_spec.hpp"

#include "base/format.hpp"
#include "base/path.hpp"
#include "base/text.hpp"
#include "base/words.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <span>
#include <utility>

namespace slipway::launcher::join {
namespace {

using base::Code;
using base::fail;
using base::in_quotes;
using base::Result;

constexpr std::size_t max_mounts_in_one_argument = 256;

base::Unexpected bad(std::string_view written, const std::string& why, std::string hint = {}) {
    return fail(Code::mount_invalid, fmt::format("mount {}: {}", in_quotes(written), why),
                std::move(hint));
}

Result<void> check_text(std::string_view text) {
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n') {
            return bad(text, "control characters are not allowed",
                       "check the quoting of the command line");
        }
    }
    return {};
}

/// What a flag word of any spelling does.
enum class Effect : std::uint8_t { nothing, readonly, readwrite, noexec, make_private, optional };
/// Of one question only one answer can be given.
enum class Question : std::uint8_t { none, writable, propagation, create };
struct Flag {
    std::string_view name;
    Effect effect = Effect::nothing;
    Question question = Question::none;
};

constexpr std::array pyxis_flags{
    Flag{"ro", Effect::readonly, Question::writable},
    Flag{"rw", Effect::readwrite, Question::writable},
    Flag{"bind"},
    Flag{"rbind"},
    Flag{"nosuid"},
    Flag{"nodev"},
    Flag{"noexec", Effect::noexec},
    Flag{"slave", Effect::nothing, Question::propagation},
    Flag{"rslave", Effect::nothing, Question::propagation},
    Flag{"private", Effect::make_private, Question::propagation},
    Flag{"rprivate", Effect::make_private, Question::propagation},
    Flag{"x-create=auto", Effect::nothing, Question::create},
    Flag{"x-create=dir", Effect::nothing, Question::create},
    Flag{"x-create=file", Effect::nothing, Question::create},
    Flag{"nofail", Effect::optional},
};
constexpr std::array bind_flags{
    Flag{"ro", Effect::readonly, Question::writable},
    Flag{"rw", Effect::readwrite, Question::writable},
};

void apply(Effect effect, MountSpec& spec) {
    switch (effect) {
    case Effect::nothing:
        break;
    case Effect::readonly:
        spec.readonly = true;
        break;
    case Effect::readwrite:
        spec.readonly = false;
        break;
    case Effect::noexec:
        spec.noexec = true;
        break;
    case Effect::make_private:
        spec.private_propagation = true;
        break;
    case Effect::optional:
        spec.optional = true;
        break;
    }
}

/// Flags of one mount, word by word.
class Flags {
  public:
    Flags(std::span<const Flag> known, MountSpec& spec) : known_(known), spec_(spec) {}

    Result<void> take(std::string_view word) {
        const auto found = std::find_if(known_.begin(), known_.end(),
                                        [&](const Flag& flag) { return flag.name == word; });
        if (found == known_.end()) {
            return unknown(word);
        }
        if (found->question != Question::none) {
            auto& before = answers_[static_cast<std::size_t>(found->question)];
            if (!before.empty() && before != word) {
                return bad(spec_.written, fmt::format("{} and {} exclude each other", before, word),
                           "give one of them");
            }
            before = found->name;
        }
        apply(found->effect, spec_);
        return {};
    }

  private:
    [[nodiscard]] Result<void> unknown(std::string_view word) const {
        std::vector<std::string_view> names;
        for (const auto& flag : known_) {
            names.push_back(flag.name);
        }
        const auto nearest = base::did_you_mean(word, names);
        return bad(spec_.written, fmt::format("{} is not a valid bind option", in_quotes(word)),
                   nearest.empty() ? "known options: ro, rw"
                                   : fmt::format("did you mean {}?", in_quotes(nearest)));
    }

    std::span<const Flag> known_;
    MountSpec& spec_;
    std::array<std::string_view, 4> answers_; ///< by question
};

/// Where nobody has said otherwise: a source appears at its own path.
enum class Target : std::uint8_t { named, same_as_source };

/// What all spellings have in common, after their text has been taken apart.
Result<void> finish(MountSpec& spec, Target target, std::string_view cwd) {
    if (spec.kind == MountSpec::Kind::bind) {
        if (spec.source.empty()) {
            return bad(spec.written, "the source is empty", "write SRC:DST, or SRC alone");
        }
        if (spec.source.front() != '/') {
            if (cwd.empty() && target == Target::same_as_source) {
                spec.target.clear();
                return {};
            }
            // ".." stays: after a symlink it means something else than text can tell.
            spec.source = cwd.empty() ? spec.source : base::join_path(cwd, spec.source);
        }
        if (target == Target::same_as_source) {
            spec.target = base::clean_path(spec.source);
        }
    }
    TRY(check_target(spec.target, spec.written));
    spec.target = base::clean_path(spec.target);
    return {};
}

Result<void> check_count(std::string_view text, std::size_t count) {
    if (count > max_mounts_in_one_argument) {
        return fail(Code::limit_exceeded,
                    fmt::format("more than {} mounts in one argument {}",
                                max_mounts_in_one_argument, in_quotes(text, 60)),
                    "bind one directory that holds them all");
    }
    return {};
}

// ---- pyxis ---------------------------------------------------------------------------------

bool is_relative_path(std::string_view source) {
    return source == "." || source.starts_with("./") || source == ".." || source.starts_with("../");
}

Result<MountSpec> parse_pyxis_entry(std::string_view entry, std::string_view cwd) {
    MountSpec spec;
    spec.written = entry;
    const auto parts = base::split(entry, ':');
    if (parts.size() > 3) {
        return bad(entry, "more than three fields", "write SRC:DST or SRC:DST:FLAG+FLAG");
    }
    spec.source = parts[0];
    spec.target = parts.size() > 1 ? parts[1] : "";
    if (spec.source == "umount") {
        return fail(Code::unsupported,
                    fmt::format("mount {}: taking a mount away is not supported", in_quotes(entry)),
                    "leave the entry out");
    }
    if (spec.source == "tmpfs") {
        if (parts.size() < 2) {
            return bad(entry, "a tmpfs needs a place", "write tmpfs:/path");
        }
        spec.kind = MountSpec::Kind::tmpfs;
        spec.source.clear();
    } else if (!spec.source.empty() && spec.source.front() != '/' &&
               !is_relative_path(spec.source)) {
        return bad(entry, fmt::format("the source {} is not a path", in_quotes(spec.source)),
                   spec.source.starts_with("~")
                       ? "write $HOME instead of ~"
                       : "write an absolute path, or one that starts with ./");
    }
    if (parts.size() == 3) {
        Flags flags(pyxis_flags, spec);
        for (const auto word : base::split(parts[2], '+')) {
            TRY(flags.take(word));
        }
    }
    TRY(finish(spec, parts.size() > 1 ? Target::named : Target::same_as_source, cwd));
    return spec;
}

/// One entry with an absolute source; the flags as they are written.
Result<std::string> absolute_entry(std::string_view entry, std::string_view cwd) {
    TRY_ASSIGN(const auto spec, parse_pyxis_entry(entry, cwd));
    if (!is_relative_path(entry.substr(0, entry.find(':')))) {
        return std::string(entry);
    }
    if (cwd.empty()) {
        return bad(entry, "the current directory is gone",
                   "change to a directory that exists, or give an absolute path");
    }
    if (spec.source.find_first_of(",:") != std::string::npos ||
        spec.target.find_first_of(",:") != std::string::npos) {
        return bad(entry,
                   fmt::format("the current directory {} has a comma or colon in its name, which "
                               "mean something else here",
                               in_quotes(cwd)),
                   "call srun or sbatch in another directory");
    }
    const auto flags = base::split(entry, ':');
    return fmt::format("{}:{}{}{}", spec.source, spec.target, flags.size() > 2 ? ":" : "",
                       flags.size() > 2 ? flags[2] : "");
}

Result<std::vector<MountSpec>> parse_pyxis(std::string_view text, std::string_view cwd) {
    std::vector<MountSpec> specs;
    for (const auto entry : base::split(text, ',')) {
        if (entry.empty()) {
            return bad(text, "an empty entry between two commas", "remove one comma");
        }
        TRY_ASSIGN(auto spec, parse_pyxis_entry(entry, cwd));
        specs.push_back(std::move(spec));
        TRY(check_count(text, specs.size()));
    }
    return specs;
}

// ---- --bind --------------------------------------------------------------------------------

/// A piece between separators, with its escapes taken away, and which separator ended it.
struct Token {
    std::string text;
    std::size_t from = 0; ///< where it is in the argument
    std::size_t to = 0;
    char end = '\0';
};

std::vector<Token> bind_tokens(std::string_view text) {
    std::vector<Token> tokens(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\\' && i + 1 < text.size() && (text[i + 1] == ',' || text[i + 1] == ':')) {
            tokens.back().text += text[++i];
        } else if (c == ',' || c == ':') {
            tokens.back().to = i;
            tokens.back().end = c;
            tokens.push_back({.text = {}, .from = i + 1, .to = text.size()});
            continue;
        } else {
            tokens.back().text += c;
        }
        tokens.back().to = i + 1;
    }
    return tokens;
}

bool is_bind_option(std::string_view word) {
    return word == "ro" || word == "rw" || word.starts_with("image-src=") ||
           word.starts_with("id=");
}

Result<void> apply_bind_option(std::string_view word, Flags& flags, const MountSpec& spec) {
    if (word.starts_with("image-src=") || word.starts_with("id=")) {
        return fail(Code::unsupported,
                    fmt::format("mount {}: binds from an image file are not supported yet",
                                in_quotes(spec.written)),
                    "bind a file or directory of the host");
    }
    return flags.take(word);
}

/// One spec from tokens[at] on; moves `at` behind it.
Result<MountSpec> parse_bind_spec(const std::vector<Token>& tokens, std::size_t& at,
                                  std::string_view text, std::string_view cwd) {
    MountSpec spec;
    const auto first = tokens[at].from;
    const auto take = [&]() -> const Token& {
        spec.written = text.substr(first, tokens[at].to - first);
        return tokens[at++];
    };
    const Token* token = &take();
    spec.source = token->text;
    auto target = Target::same_as_source;
    if (token->end == ':') {
        token = &take();
        if (!token->text.empty() || token->end != ':') {
            spec.target = token->text;
            target = Target::named;
        }
        if (token->end == ':') {
            Flags flags(bind_flags, spec);
            token = &take();
            TRY(apply_bind_option(token->text, flags, spec));
            // A comma goes on with options only when an option follows; else it starts a new spec.
            while (token->end == ',' && at < tokens.size() && is_bind_option(tokens[at].text) &&
                   tokens[at].end != ':') {
                token = &take();
                TRY(apply_bind_option(token->text, flags, spec));
            }
            if (token->end == ':') {
                return bad(spec.written, "more than three fields", "write src[:dst[:ro]]");
            }
        }
    }
    TRY(finish(spec, target, cwd));
    return spec;
}

Result<std::vector<MountSpec>> parse_bind(std::string_view text, std::string_view cwd) {
    const auto tokens = bind_tokens(text);
    std::vector<MountSpec> specs;
    for (std::size_t at = 0; at < tokens.size();) {
        const bool trailing_comma = at + 1 == tokens.size() && at > 0 && tokens[at].text.empty() &&
                                    tokens[at - 1].end == ',';
        if (trailing_comma) {
            break;
        }
        TRY_ASSIGN(auto spec, parse_bind_spec(tokens, at, text, cwd));
        specs.push_back(std::move(spec));
        TRY(check_count(text, specs.size()));
    }
    return specs;
}

// ---- --mount -------------------------------------------------------------------------------

constexpr const char* csv_example = "write type=bind,source=/a,destination=/b";

/// `text` is the mount as it was written, for messages.
Result<void> apply_mount_field(std::string_view field, std::string_view text, MountSpec& spec) {
    const auto equals = field.find('=');
    const auto key = field.substr(0, equals);
    const bool has_value = equals != std::string_view::npos;
    const auto value = has_value ? field.substr(equals + 1) : std::string_view();
    if (key == "type") {
        return value == "bind" ? Result<void>()
                               : bad(text,
                                     fmt::format("unsupported mount type {}, only 'bind' is "
                                                 "supported",
                                                 in_quotes(value)),
                                     "--scratch DIR makes an empty directory in memory");
    }
    if (key == "source" || key == "src") {
        spec.source = value;
        return value.empty() ? bad(text, "the source is empty", csv_example) : Result<void>();
    }
    if (key == "destination" || key == "dst" || key == "target") {
        spec.target = value;
        return value.empty() ? bad(text, "the destination is empty", csv_example) : Result<void>();
    }
    if (key == "ro" || key == "readonly") {
        spec.readonly = true;
        return has_value ? bad(text, fmt::format("{} takes no value", key),
                               fmt::format("write {} alone, or leave it out", key))
                         : Result<void>();
    }
    if (key == "image-src" || key == "id") {
        return fail(Code::unsupported,
                    fmt::format("mount {}: binds from an image file are not supported yet",
                                in_quotes(text)),
                    "bind a file or directory of the host");
    }
    static constexpr std::array<std::string_view, 8> known{"type", "source", "src", "destination",
                                                           "dst",  "target", "ro",  "readonly"};
    const auto nearest = base::did_you_mean(key, known);
    return bad(text, fmt::format("unknown key {}", in_quotes(key)),
               nearest.empty() ? "known keys: type, source, destination, ro"
                               : fmt::format("did you mean {}?", in_quotes(nearest)));
}

Result<std::vector<MountSpec>> parse_csv(std::string_view text, std::string_view cwd) {
    std::vector<MountSpec> specs;
    for (std::size_t at = 0; at < text.size();) {
        const auto from = at;
        const auto record = base::csv_record(text, at);
        auto written = text.substr(from, at - from);
        written.remove_suffix(written.ends_with('\n') ? 1 : 0);
        if (!record) {
            return bad(written, record.error().message,
                       record.error().hint.empty() ? csv_example : record.error().hint);
        }
        const auto& fields = *record;
        if (fields.size() == 1 && fields[0].empty()) {
            continue;
        }
        MountSpec spec;
        spec.written = written;
        for (const auto& field : fields) {
            TRY(apply_mount_field(field, written, spec));
        }
        if (spec.source.empty()) {
            return bad(written, "no source given", csv_example);
        }
        if (spec.target.empty()) {
            return bad(written, "no destination given", csv_example);
        }
        TRY(finish(spec, Target::named, cwd));
        specs.push_back(std::move(spec));
        TRY(check_count(text, specs.size()));
    }
    return specs;
}

} // namespace

Result<void> check_target(std::string_view target, std::string_view written) {
    const auto refuse = [&](std::string_view why) {
        return fail(
            Code::mount_target_invalid,
            fmt::format("mount {}: destination {} {}", in_quotes(written), in_quotes(target), why),
            "name an absolute path below the container's /, such as /mnt");
    };
    if (target.empty() || target.front() != '/') {
        return refuse("must be an absolute path");
    }
    if (base::has_dotdot(target)) {
        return refuse("must not contain '..'");
    }
    if (target.size() >= PATH_MAX) {
        return refuse("is longer than a path can be");
    }
    const auto clean = base::clean_path(target);
    if (clean == "/") {
        return refuse("would hide the whole container");
    }
    if (clean == "/dev" || clean == "/sys" || base::is_beneath(clean, "/proc")) {
        return refuse("is the system's own");
    }
    return {};
}

Result<std::vector<MountSpec>> parse_mounts(const MountRequest& request, std::string_view cwd) {
    TRY(check_text(request.text));
    if (base::trim(request.text).empty()) {
        return bad(request.text, "it is empty", "is a variable empty? If not, leave the option out");
    }
    switch (request.syntax) {
    case MountSyntax::pyxis:
        return parse_pyxis(request.text, cwd);
    case MountSyntax::bind:
        return parse_bind(request.text, cwd);
    case MountSyntax::mount_csv:
        return parse_csv(request.text, cwd);
    }
    return fail(Code::internal, "unknown spelling of a mount");
}

Result<std::string> absolute_mounts(std::string_view text, std::string_view cwd) {
    TRY(parse_mounts({MountSyntax::pyxis, std::string(text)}, {}));
    std::string out;
    for (const auto entry : base::split(text, ',')) {
        TRY_ASSIGN(const auto absolute, absolute_entry(entry, cwd));
        out += (out.empty() ? "" : ",") + absolute;
    }
    return out;
}

Result<OverlayRequest> parse_overlay(std::string_view text) {
    OverlayRequest overlay;
    for (const std::string_view flag : {":ro", ":rw"}) {
        if (text.ends_with(flag)) {
            text.remove_suffix(flag.size());
            overlay.readonly = flag == ":ro";
            break;
        }
    }
    if (text.empty()) {
        return fail(Code::usage, "--overlay needs a path", "name a directory or an image file");
    }
    overlay.path = text;
    return overlay;
}

} // namespace slipway::launcher::join
