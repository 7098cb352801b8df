// SPDX-License-Identifier: Apache-2.0
#include "launcher/env_script.hpp"

#include "base/words.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

namespace slipway::launcher {
namespace {

constexpr int max_depth = 16; ///< nesting of if and of expansions

using base::is_identifier;

bool is_name_start(char c) noexcept {
    return base::is_letter(c) || c == '_';
}
bool is_name_char(char c) noexcept {
    return base::is_alphanumeric(c) || c == '_';
}

/// Expansion of words. Every function returns false when a real shell is needed.
class Expander {
  public:
    Expander(std::string_view text, const Variables& variables)
        : text_(text), variables_(variables) {}

    [[nodiscard]] std::size_t position() const noexcept { return at_; }
    void seek(std::size_t at) noexcept { at_ = at; }

    /// Text up to an unescaped `end`, which is left behind (or up to the end of the text).
    bool double_quoted(char end, std::string& out, int depth);
    /// An unquoted word up to a blank, newline, `;`, or the like.
    bool word(std::string& out, bool& quoted);

  private:
    bool dollar(std::string& out, int depth);
    bool braces(std::string& out, int depth);

    std::string_view text_;
    const Variables& variables_;
    std::size_t at_ = 0;
};

bool Expander::double_quoted(char end, std::string& out, int depth) {
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c == end) {
            return true;
        }
        if (c == '`') {
            return false;
        }
        if (c == '$') {
            if (!dollar(out, depth)) {
                return false;
            }
            continue;
        }
        if (c == '"' && end != '\0') {
            // Only inside ${X:-"…"} of an outer double quote: another quoted piece.
            ++at_;
            if (end != '}' || !double_quoted('"', out, depth + 1) || at_ >= text_.size()) {
                return false;
            }
            ++at_;
            continue;
        }
        if (c == '\\' && at_ + 1 < text_.size()) {
            const char next = text_[at_ + 1];
            if (next == '\n') {
                at_ += 2;
                continue;
            }
            if (next == '\\' || next == '"' || next == '$' || next == '`' || next == end) {
                out += next;
                at_ += 2;
                continue;
            }
        }
        out += c;
        ++at_;
    }
    return end == '\0';
}

bool Expander::dollar(std::string& out, int depth) {
    ++at_; // the $
    if (depth > max_depth) {
        return false;
    }
    if (at_ < text_.size() && text_[at_] == '{') {
        return braces(out, depth);
    }
    if (at_ >= text_.size() || !is_name_start(text_[at_])) {
        return false; // $1, $?, $(…), a lone $: all for the shell
    }
    const auto start = at_;
    while (at_ < text_.size() && is_name_char(text_[at_])) {
        ++at_;
    }
    if (const auto found = variables_.find(text_.substr(start, at_ - start));
        found != variables_.end()) {
        out += found->second.value;
    }
    return true;
}

bool Expander::braces(std::string& out, int depth) {
    ++at_; // the {
    const auto start = at_;
    while (at_ < text_.size() && is_name_char(text_[at_])) {
        ++at_;
    }
    const auto name = text_.substr(start, at_ - start);
    if (!is_identifier(name) || at_ >= text_.size()) {
        return false;
    }
    const auto found = variables_.find(name);
    bool present = found != variables_.end();
    const std::string value = present ? found->second.value : std::string();
    if (text_[at_] == '}') {
        ++at_;
        out += value;
        return true;
    }
    if (text_[at_] == ':') {
        present = present && !value.empty();
        ++at_;
    }
    const char operation = at_ < text_.size() ? text_[at_++] : '\0';
    if (operation != '-' && operation != '+') {
        return false;
    }
    std::string alternative;
    if (!double_quoted('}', alternative, depth + 1) || at_ >= text_.size()) {
        return false;
    }
    ++at_; // the }
    if (operation == '-') {
        out += present ? value : alternative;
    } else {
        out += present ? alternative : std::string();
    }
    return true;
}

bool Expander::word(std::string& out, bool& quoted) {
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c == ' ' || c == '\t' || c == '\n' || c == ';') {
            return true;
        }
        if (c == '$') {
            // Without quotes the value would be split and matched against file names; one that has
            // nothing to split or match, in a word that has more to it, stays as it is.
            std::string piece;
            if (!dollar(piece, 0) || piece.find_first_of(" \t\n*?[\\") != std::string::npos ||
                (piece.empty() && out.empty())) {
                return false;
            }
            out += piece;
        } else if (c == '"') {
            quoted = true;
            ++at_;
            if (!double_quoted('"', out, 0) || at_ >= text_.size()) {
                return false;
            }
            ++at_;
        } else if (c == '\'') {
            quoted = true;
            const auto end = text_.find('\'', at_ + 1);
            if (end == std::string_view::npos) {
                return false;
            }
            out += text_.substr(at_ + 1, end - at_ - 1);
            at_ = end + 1;
        } else if (is_name_char(c) ||
                   std::string_view("/.:=+-,@%_[]!").find(c) != std::string_view::npos) {
            // Brackets only as the words of a test; a pattern would need the file system.
            out += c;
            ++at_;
        } else {
            // ~ & | < > ( ) { } * ? \ and # mean something to a shell.
            return false;
        }
    }
    return true;
}

struct Word {
    std::string text;
    bool quoted = false;
};

/// Runs simple commands line by line.
class Script {
  public:
    Script(std::string_view text, Variables& variables, const FileTest& file_test)
        : text_(text), variables_(variables), file_test_(file_test) {}

    bool run() { return list(0, true, {}) && at_ >= text_.size(); }

  private:
    using Terminators = std::vector<std::string_view>;

    void skip_blanks();
    bool list(int depth, bool active, const Terminators& until);
    bool conditional(int depth, bool active);
    std::optional<std::string> peek_word();
    bool words(std::vector<Word>& out, bool active);
    bool command(bool active);
    bool assignment(const std::vector<Word>& list);
    bool export_names(const std::vector<Word>& list);
    bool unset_names(const std::vector<Word>& list);
    bool condition(const std::vector<Word>& list, bool& result) const;
    bool skip_command();

    std::string_view text_;
    Variables& variables_;
    const FileTest& file_test_;
    std::size_t at_ = 0;
};

/// Blanks, newlines, separators, comments, line continuations.
void Script::skip_blanks() {
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c == ' ' || c == '\t' || c == '\n' || c == ';') {
            ++at_;
        } else if (c == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') {
            at_ += 2;
        } else if (c == '#') {
            while (at_ < text_.size() && text_[at_] != '\n') {
                ++at_;
            }
        } else {
            return;
        }
    }
}

std::optional<std::string> Script::peek_word() {
    std::size_t end = at_;
    while (end < text_.size() && is_name_char(text_[end])) {
        ++end;
    }
    const bool ends = end == text_.size() || text_[end] == ' ' || text_[end] == '\t' ||
                      text_[end] == '\n' || text_[end] == ';';
    if (end == at_ || !ends) {
        return std::nullopt;
    }
    return std::string(text_.substr(at_, end - at_));
}

/// Commands up to one of the reserved words in `until` (left in place), or to the end of the text.
bool Script::list(int depth, bool active, const Terminators& until) {
    if (depth > max_depth) {
        return false;
    }
    for (;;) {
        skip_blanks();
        if (at_ >= text_.size()) {
            return until.empty();
        }
        const auto first = peek_word();
        if (first && std::find(until.begin(), until.end(), *first) != until.end()) {
            return true;
        }
        static constexpr std::array<std::string_view, 13> reserved{
            "then", "else", "elif", "fi",   "for",      "while", "until",
            "do",   "done", "case", "esac", "function", "return"};
        if (first && std::find(reserved.begin(), reserved.end(), *first) != reserved.end()) {
            return false;
        }
        if (!(first && *first == "if" ? conditional(depth, active) : command(active))) {
            return false;
        }
    }
}

bool Script::conditional(int depth, bool active) {
    bool done = false;
    const char* keyword = "if";
    for (;;) {
        at_ += std::string_view(keyword).size();
        std::vector<Word> test;
        bool truth = false;
        const bool evaluate = active && !done;
        if (!words(test, evaluate) || (evaluate && !condition(test, truth))) {
            return false;
        }
        skip_blanks();
        if (peek_word() != "then") {
            return false;
        }
        at_ += 4;
        if (!list(depth + 1, evaluate && truth, {"elif", "else", "fi"})) {
            return false;
        }
        done = done || (evaluate && truth);
        const auto next = peek_word();
        if (next == "elif") {
            keyword = "elif";
            continue;
        }
        if (next == "else") {
            at_ += 4;
            if (!list(depth + 1, active && !done, {"fi"})) {
                return false;
            }
        }
        if (peek_word() != "fi") {
            return false;
        }
        at_ += 2;
        // Nothing but an end may follow: "fi && x" and "fi | x" are for the shell.
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) {
            ++at_;
        }
        return at_ >= text_.size() || text_[at_] == '\n' || text_[at_] == ';' || text_[at_] == '#';
    }
}

/// The words of one simple command. Where the branch is not taken nothing is expanded, but quotes
/// are followed, so that the end of the command is found.
bool Script::words(std::vector<Word>& out, bool active) {
    if (!active) {
        return skip_command();
    }
    Expander expander(text_, variables_);
    for (;;) {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\t' ||
                (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n'))) {
            at_ += text_[at_] == '\\' ? 2 : 1;
        }
        if (at_ >= text_.size() || text_[at_] == '\n' || text_[at_] == ';' || text_[at_] == '#') {
            return true;
        }
        Word word;
        expander.seek(at_);
        if (!expander.word(word.text, word.quoted) || expander.position() == at_) {
            return false;
        }
        at_ = expander.position();
        out.push_back(std::move(word));
    }
}

bool Script::skip_command() {
    char quote = '\0';
    for (; at_ < text_.size(); ++at_) {
        const char c = text_[at_];
        if (c == '\\' && quote != '\'' && at_ + 1 < text_.size()) {
            ++at_;
        } else if (quote != '\0') {
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '`' || c == '(' || c == '<') {
            return false; // here-documents and substitutions may hold anything
        } else if (c == '\n' || c == ';') {
            return true;
        }
    }
    return quote == '\0';
}

bool Script::command(bool active) {
    std::vector<Word> list;
    if (!words(list, active)) {
        return false;
    }
    if (!active) {
        return true;
    }
    if (list.empty()) {
        return false;
    }
    if (list[0].text == "export" && !list[0].quoted) {
        return export_names(list);
    }
    if (list[0].text == "unset" && !list[0].quoted) {
        return unset_names(list);
    }
    return assignment(list);
}

/// NAME=value … without a command. Values were expanded already; "A=1 B=$A" would need an order, so
/// only one assignment to a command.
bool Script::assignment(const std::vector<Word>& list) {
    const auto equals = list[0].text.find('=');
    if (list.size() != 1 || equals == std::string::npos ||
        !is_identifier(std::string_view(list[0].text).substr(0, equals))) {
        return false;
    }
    variables_[list[0].text.substr(0, equals)].value = list[0].text.substr(equals + 1);
    return true;
}

bool Script::export_names(const std::vector<Word>& list) {
    for (std::size_t i = 1; i < list.size(); ++i) {
        const auto equals = list[i].text.find('=');
        const auto name = list[i].text.substr(0, equals);
        if (!is_identifier(name)) {
            return false; // export -p, export -n …
        }
        if (equals != std::string::npos) {
            if (list.size() > 2) {
                return false;
            }
            variables_[name] = {list[i].text.substr(equals + 1), true};
        } else if (const auto found = variables_.find(name); found != variables_.end()) {
            found->second.exported = true;
        } else {
            return false; // exported once it gets a value
        }
    }
    return list.size() > 1;
}

bool Script::unset_names(const std::vector<Word>& list) {
    for (std::size_t i = 1; i < list.size(); ++i) {
        if (!is_identifier(list[i].text)) {
            return false;
        }
        variables_.erase(list[i].text);
    }
    return list.size() > 1;
}

bool Script::condition(const std::vector<Word>& list, bool& result) const {
    std::vector<std::string_view> parts;
    for (const auto& word : list) {
        parts.push_back(word.text);
    }
    if (parts.size() >= 2 && parts.front() == "[" && parts.back() == "]") {
        parts.pop_back();
    } else if (parts.empty() || parts.front() != "test") {
        return false;
    }
    parts.erase(parts.begin());
    bool negate = false;
    if (parts.size() > 1 && parts.front() == "!") {
        negate = true;
        parts.erase(parts.begin());
    }
    if (parts.size() == 2 && parts[0].size() == 2 && parts[0][0] == '-') {
        const char test = parts[0][1];
        if (test == 'n' || test == 'z') {
            result = parts[1].empty() == (test == 'z');
        } else if (std::string_view("fderxs").find(test) != std::string_view::npos) {
            if (!parts[1].empty() && parts[1].front() != '/') {
                return false; // below the directory in which the scripts would run
            }
            result = !parts[1].empty() && file_test_(test, std::string(parts[1]));
        } else {
            return false;
        }
    } else if (parts.size() == 3 && (parts[1] == "=" || parts[1] == "!=")) {
        result = (parts[0] == parts[2]) == (parts[1] == "=");
    } else {
        return false;
    }
    result = result != negate;
    return true;
}

} // namespace

bool expand_double_quoted(std::string_view text, const Variables& variables, std::string& result) {
    result.clear();
    Expander expander(text, variables);
    return expander.double_quoted('\0', result, 0);
}

bool evaluate_script(std::string_view text, Variables& variables, const FileTest& file_test) {
    Variables changed = variables;
    if (text.find('\0') != std::string_view::npos || !Script(text, changed, file_test).run()) {
        return false;
    }
    variables = std::move(changed);
    return true;
}

} // namespace slipway::launcher
