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
        check_anchor(mark, anchor);
        add(line_of(mark), Node{});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(line_of(mark)); }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_anchor(mark, anchor);
        // "?" is a plain scalar, "!" one in quotes or a block scalar.
        check_tag(mark, tag);
        Node node;
        node.kind = Node::Kind::scalar;
        node.quoted = tag == "!";
        node.text = value;
        add(line_of(mark), std::move(node));
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, Node::Kind::list);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(mark, tag, anchor, Node::Kind::map);
    }
    void OnMapEnd() override { close(); }
    void OnAnchor(const YAML::Mark& mark, const std::string&) override {
        refuse_anchor(line_of(mark));
    }

    Node take() { return std::move(root_); }

  private:
    struct Level {
        Node node;
        bool has_key = false;
        std::string key;
        std::size_t key_line = 0;
        std::map<std::string, std::size_t> lines; ///< of the keys so far
    };

    [[noreturn]] void refuse(std::size_t line, std::string what, std::string hint = {}) const {
        throw Refused(problem_at(name_, line, std::move(what), std::move(hint)));
    }
    [[noreturn]] void refuse_anchor(std::size_t line) const {
        refuse(line, "anchors and aliases (& and *) are not allowed",
               "write the value again, or put a text that begins with & or * in quotes");
    }
    void check_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) const {
        if (anchor != 0) {
            refuse_anchor(line_of(mark));
        }
    }
    void check_tag(const YAML::Mark& mark, const std::string& tag) const {
        if (!tag.empty() && tag != "?" && tag != "!") {
            refuse(line_of(mark), "the tag " + base::in_quotes(tag, 60) + " is not allowed",
                   "remove it, or put a text that begins with ! in quotes");
        }
    }

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
              Node::Kind kind) {
        check_anchor(mark, anchor);
        check_tag(mark, tag);
        if (levels_.size() >= max_depth) {
            refuse(line_of(mark), fmt::format("nested deeper than {} levels", max_depth));
        }
        if (!levels_.empty() && wants_key()) {
            refuse(line_of(mark), "a key must be plain text");
        }
        Level level;
        level.node.kind = kind;
        level.node.line = line_of(mark);
        levels_.push_back(std::move(level));
    }

    void close() {
        Node node = std::move(levels_.back().node);
        levels_.pop_back();
        const auto line = node.line;
        add(line, std::move(node));
    }

    [[nodiscard]] bool wants_key() const {
        return levels_.back().node.kind == Node::Kind::map && !levels_.back().has_key;
    }

    void add(std::size_t line, Node node) {
        if (++nodes_ > max_nodes) {
            refuse(line, fmt::format("more than {} values", max_nodes));
        }
        node.line = line;
        if (levels_.empty()) {
            root_ = std::move(node);
            return;
        }
        auto& level = levels_.back();
        if (level.node.kind == Node::Kind::list) {
            level.node.items.push_back(std::move(node));
        } else if (!level.has_key) {
            take_key(level, line, std::move(node));
        } else {
            level.node.members.push_back({std::move(level.key), level.key_line, std::move(node)});
            level.has_key = false;
        }
    }

    void take_key(Level& level, std::size_t line, Node node) const {
        if (node.kind != Node::Kind::scalar) {
            refuse(line, "a key must be plain text");
        }
        const auto [first, added] = level.lines.emplace(node.text, line);
        if (!added) {
            refuse(line,
                   base::in_quotes(node.text) +
                       fmt::format(" is given a second time (first in line {})", first->second),
                   "keep one of them");
        }
        level.has_key = true;
        level.key = std::move(node.text);
        level.key_line = line;
    }

    std::string_view name_;
    std::size_t documents_ = 0;
    std::size_t nodes_ = 0;
    std::vector<Level> levels_;
    Node root_;
};

} // namespace

base::Error problem_at(std::string_view name, std::size_t line, std::string message,
                       std::string hint) {
    return {base::Code::config_invalid, 0, fmt::format("{}:{}: {}", name, line, message),
            std::move(hint)};
}

namespace {

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
            return tl::unexpected<base::Error>(problem_at(
                name, line,
                length == 0 ? "there is a byte that is not UTF-8" : "there is a NUL byte",
                "save the file as UTF-8 text"));
        }
        line += rest.front() == '\n' ? 1 : 0;
        rest.remove_prefix(length);
    }
    return text;
}

} // namespace

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
        return tl::unexpected<base::Error>(refused.error);
    } catch (const YAML::Exception& error) {
        return tl::unexpected<base::Error>(problem_at(name, line_of(error.mark),
                                                      "not valid YAML: " + error.msg,
                                                      "check indentation, colons and quotes"));
    } catch (const std::exception& error) {
        return base::fail(base::Code::config_invalid,
                          fmt::format("cannot read {}: {}", name, error.what()));
    }
}

} // namespace slipway::config
