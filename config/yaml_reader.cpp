// SPDX-License-Identifier: Apache-2.0
// The only file that uses yaml-cpp. Its event interface is used, not YAML::Node: that one keeps the
// first of two equal keys silently, resolves alias bombs and guesses numbers (0755 becomes 493).
#include "base/format.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "config/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <map>
#include <sstream>

namespace slipway::config {
namespace {

/// Carries an Error out of yaml-cpp's parser; never leaves this file.
struct Refused : std::exception {
    explicit Refused(base::Error what) : error(std::move(what)) {}
    base::Error error;
};

std::size_t line_of(const YAML::Mark& mark) {
    return mark.line < 0 ? 1 : static_cast<std::size_t>(mark.line) + 1;
}

// The tags that yaml-cpp gives to scalars that have none of their own.
constexpr std::string_view plain = "?";
constexpr std::string_view quotes = "!"; ///< also block scalars

class TreeBuilder final : public YAML::EventHandler {
  public:
    explicit TreeBuilder(std::string_view name) : name_(name) {}

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ > 1) {
            refuse(line_of(mark), "a second document begins here",
                   "write one document, without ---");
        }
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        add(accepted(mark, {}, anchor, Node::Kind::null));
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override { OnNull(mark, anchor); }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        auto node = accepted(mark, tag, anchor, Node::Kind::scalar);
        node.quoted = tag == quotes;
        node.text = value;
        add(std::move(node));
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(accepted(mark, tag, anchor, Node::Kind::list));
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(accepted(mark, tag, anchor, Node::Kind::map));
    }
    void OnMapEnd() override { close(); }

    Node take() { return std::move(root_); }

  private:
    /// A list or map that is being read.
    struct Level {
        Node node;
        bool wants_key = false;
        std::string key; ///< of the value that comes next
        std::size_t key_line = 0;
        std::map<std::string, std::size_t> lines; ///< of the keys so far
    };

    [[noreturn]] void refuse(std::size_t line, std::string what, std::string hint = {}) const {
        throw Refused(problem_at(name_, line, std::move(what), std::move(hint)));
    }

    /// The node without its content.
    Node accepted(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  Node::Kind kind) {
        Node node;
        node.kind = kind;
        node.line = line_of(mark);
        if (anchor != 0) {
            refuse(node.line, "anchors and aliases (& and *) are not allowed",
                   "write the value again, or put a text that begins with & or * in quotes");
        }
        if (!tag.empty() && tag != plain && tag != quotes) {
            refuse(node.line, "the tag " + base::in_quotes(tag, 60) + " is not allowed",
                   "remove it, or put a text that begins with ! in quotes");
        }
        if (++nodes_ > max_nodes) {
            refuse(node.line, fmt::format("more than {} values", max_nodes));
        }
        if (kind != Node::Kind::scalar && !levels_.empty() && levels_.back().wants_key) {
            refuse(node.line, "a key must be plain text");
        }
        return node;
    }

    void open(Node node) {
        if (levels_.size() >= max_depth) {
            refuse(node.line, fmt::format("nested deeper than {} levels", max_depth));
        }
        const bool is_map = node.kind == Node::Kind::map;
        levels_.push_back({std::move(node), is_map, {}, 0, {}});
    }

    void close() {
        Node node = std::move(levels_.back().node);
        levels_.pop_back();
        add(std::move(node));
    }

    void add(Node node) {
        if (levels_.empty()) {
            root_ = std::move(node);
            return;
        }
        auto& level = levels_.back();
        if (level.wants_key) {
            take_key(level, std::move(node));
            return;
        }
        node.key = std::move(level.key);
        node.key_line = level.key_line;
        level.wants_key = level.node.kind == Node::Kind::map;
        level.node.items.push_back(std::move(node));
    }

    void take_key(Level& level, Node node) const {
        const auto [first, added] = level.lines.emplace(node.text, node.line);
        if (!added) {
            refuse(node.line,
                   base::in_quotes(node.text) +
                       fmt::format(" is given a second time (first in line {})", first->second),
                   "keep one of them");
        }
        level.wants_key = false;
        level.key = std::move(node.text);
        level.key_line = node.line;
    }

    std::string_view name_;
    std::size_t documents_ = 0;
    std::size_t nodes_ = 0;
    std::vector<Level> levels_;
    Node root_;
};

/// yaml-cpp takes UTF-16 and UTF-32 for what they are, and bytes that are no text for something: a
/// file must be UTF-8, as every program that shows or compares it expects.
base::Result<std::string_view> plain_utf8(std::string_view text, std::string_view name) {
    constexpr std::string_view mark = "\xEF\xBB\xBF";
    if (text.starts_with(mark)) {
        text.remove_prefix(mark.size());
    }
    std::size_t line = 1;
    for (auto rest = text; !rest.empty();) {
        const auto length = base::utf8_length(rest);
        if (length == 0 || rest.front() == '\0') {
            return base::Unexpected(problem_at(name, line,
                                               length == 0 ? "there is a byte that is not UTF-8"
                                                           : "there is a NUL byte",
                                               "save the file as UTF-8 text"));
        }
        line += rest.front() == '\n' ? 1 : 0;
        rest.remove_prefix(length);
    }
    return text;
}

} // namespace

base::Error problem_at(std::string_view name, std::size_t line, std::string message,
                       std::string hint) {
    return {base::Code::config_invalid, 0, fmt::format("{}:{}: {}", name, line, message),
            std::move(hint)};
}

base::Result<Node> read_document(std::string_view text, std::string_view name) {
    if (text.size() > max_file_bytes) {
        return base::fail(base::Code::limit_exceeded, fmt::format("{} is larger than {}", name,
                                                                  base::size_text(max_file_bytes)));
    }
    TRY_ASSIGN(const auto utf8, plain_utf8(text, name));
    try {
        std::istringstream stream{std::string(utf8)};
        YAML::Parser parser(stream);
        TreeBuilder builder(name);
        while (parser.HandleNextDocument(builder)) {
        }
        return builder.take();
    } catch (const Refused& refused) {
        return base::Unexpected(refused.error);
    } catch (const YAML::Exception& error) {
        return base::Unexpected(problem_at(name, line_of(error.mark),
                                           "not valid YAML: " + error.msg,
                                           "check indentation, colons and quotes"));
    } catch (const std::exception& error) {
        return wrong(fmt::format("cannot read {}: {}", name, error.what()), {});
    }
}

} // namespace slipway::config
