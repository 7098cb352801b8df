// SPDX-License-Identifier: Apache-2.0
// The schema engine on a table of this test's own: sections, maps and lists of records, nested,
// that no key of the site file has yet. A later section is nothing but such a table.
#include "config/fields.hpp"
#include "config/values.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <map>

using namespace slipway;
using config::Conflict;
using config::Record;
using config::records;
using config::value;

namespace {

enum class Action { allow, deny };
constexpr base::EnumTable actions =
    std::array{base::EnumRow{Action::allow, "allow"}, base::EnumRow{Action::deny, "deny"}};
using ActionName = config::Choice<Action, actions>;

struct When {
    std::string account;
    unsigned nodes = 0;
};
struct Rule {
    std::string name;
    Action action = Action::allow;
    When when;
    std::map<std::string, When> also;
};
struct Policy {
    Action fallback = Action::allow;
    std::vector<Rule> rules;
};
struct Document {
    Policy policy;
    std::vector<Rule> loose;
};

base::Result<std::string> read_name(std::string_view name) {
    if (name.starts_with('-')) {
        return base::fail(base::Code::config_invalid, "begins with a dash", "begin with a letter");
    }
    return std::string(name.substr(0, name.find('/')));
}

std::vector<Conflict> rule_conflicts(const void* record) {
    const auto& rule = *static_cast<const Rule*>(record);
    std::vector<Conflict> found;
    if (rule.name.empty()) {
        found.push_back({"", "has no name", "write name: something"});
    }
    if (rule.action == Action::deny && rule.when.nodes > 4) {
        found.push_back({"when", "never denies that many nodes", "write 4 or less"});
    }
    return found;
}

constexpr std::array when_fields{
    value<config::Text, &When::account>("account", "Whose job it is.", "physics"),
    value<config::NumberOrAuto<8>, &When::nodes>("nodes", "How many nodes."),
};
constexpr Record when_record{.fields = when_fields, .defaults = config::default_struct<When>};
constexpr std::array rule_fields{
    value<config::Text, &Rule::name>("name", "What messages call it.", "no-latest"),
    value<ActionName, &Rule::action>("action", "What is done."),
    records<&Rule::when>("when", when_record, "For which jobs."),
    records<&Rule::also>("also", when_record, "For which others.", read_name, "others"),
};
constexpr Record rule_record{
    .fields = rule_fields, .conflicts = rule_conflicts, .defaults = config::default_struct<Rule>};
constexpr std::array policy_fields{
    value<ActionName, &Policy::fallback>("default", "What happens when no rule fits."),
    records<&Policy::rules>("rules", rule_record, "The first that fits decides."),
};
constexpr std::array policy_refusals{config::Refusal{"script", "rules are data"}};
constexpr Record policy_record{.fields = policy_fields,
                               .refusals = policy_refusals,
                               .defaults = config::default_struct<Policy>};
constexpr std::array document_fields{
    records<&Document::policy>("policy", policy_record, "Who may run what."),
    records<&Document::loose>("loose", rule_record, "Rules at the top."),
};
constexpr Record document{.fields = document_fields, .defaults = config::default_struct<Document>};

std::vector<std::string> read(const std::string& text, Document& into) {
    const auto node = config::read_document(text, "f");
    REQUIRE(node);
    std::vector<std::string> lines;
    for (const auto& problem : config::read_record(document, *node, "f", &into)) {
        lines.push_back(problem.one_line());
    }
    return lines;
}

std::string first_problem(const std::string& text) {
    Document ignored;
    const auto all = read(text, ignored);
    return all.empty() ? "accepted" : all.front();
}

constexpr std::string_view expected_example = R"(
# Who may run what.
policy:
  # What happens when no rule fits.
  # Value: allow or deny.
  #default: allow

  # The first that fits decides.
  #rules:
    # What messages call it.
    # Value: a text. Default: none.
    #- name: no-latest

      # What is done.
      # Value: allow or deny.
      #action: allow

      # For which jobs.
      #when:
        # Whose job it is.
        # Value: a text. Default: none.
        #account: physics

        # How many nodes.
        # Value: a whole number from 1 to 8, or auto.
        #nodes: auto

      # For which others.
      #also:
        #others:
          # Whose job it is.
          # Value: a text. Default: none.
          #account: physics

          # How many nodes.
          # Value: a whole number from 1 to 8, or auto.
          #nodes: auto

# Rules at the top.
loose:
  # What messages call it.
  # Value: a text. Default: none.
  #- name: no-latest

    # What is done.
    # Value: allow or deny.
    #action: allow

    # For which jobs.
    #when:
      # Whose job it is.
      # Value: a text. Default: none.
      #account: physics

      # How many nodes.
      # Value: a whole number from 1 to 8, or auto.
      #nodes: auto

    # For which others.
    #also:
      #others:
        # Whose job it is.
        # Value: a text. Default: none.
        #account: physics

        # How many nodes.
        # Value: a whole number from 1 to 8, or auto.
        #nodes: auto
)";

} // namespace

TEST_CASE("lists and maps of records are read in order, with what is nested in them") {
    Document got;
    REQUIRE(read(R"(
policy:
  default: deny
  rules:
    - {name: one, action: deny, when: {account: physics, nodes: 2}}
    - name: two
      also:
        night/shift: {nodes: 3}
        day:
    - name: three
loose:
  - {name: four}
)",
                 got)
                .empty());
    CHECK(got.policy.fallback == Action::deny);
    REQUIRE(got.policy.rules.size() == 3);
    CHECK(got.policy.rules[0].when.account == "physics");
    CHECK(got.policy.rules[1].also.at("night").nodes == 3);
    CHECK(got.policy.rules[1].also.count("day") == 1);
    CHECK(got.policy.rules[2].name == "three");
    CHECK(got.loose.at(0).name == "four");

    const auto shown = config::show_record(document, &got);
    Document again;
    REQUIRE(read(shown, again).empty());
    CHECK(config::show_record(document, &again) == shown);
    CHECK(again.policy.rules[1].also.at("night").nodes == 3);
}

TEST_CASE("mistakes in lists and maps are reported where they are") {
    CHECK(first_problem("policy: {rules: {name: x}}\n") ==
          "config-invalid: f:1: policy.rules: is not a list (hint: write one '- ' per entry below "
          "it)");
    CHECK(
        first_problem("policy:\n  rules:\n    - {name: a}\n    - deny\n") ==
        "config-invalid: f:4: policy.rules[2]: must hold keys of its own (hint: write for example "
        "{name: no-latest})");
    CHECK(first_problem("policy:\n  rules:\n    - {name: a, acton: deny}\n") ==
          "config-invalid: f:3: unknown key 'acton' in policy.rules[1] (hint: did you mean "
          "'action'?)");
    CHECK(first_problem("policy:\n  rules:\n    - name: a\n      when:\n        nodes: 9\n") ==
          "config-invalid: f:5: policy.rules[1].when.nodes: 9 is out of range (hint: write a whole "
          "number from 1 to 8)");
    CHECK(first_problem("policy:\n  rules:\n    - {action: deny}\n") ==
          "config-invalid: f:3: policy.rules[1]: has no name (hint: write name: something)");
    CHECK(
        first_problem("policy:\n  rules:\n    - name: a\n      action: deny\n      when: {nodes: "
                      "5}\n") ==
        "config-invalid: f:5: policy.rules[1].when: never denies that many nodes (hint: write 4 or "
        "less)");
    CHECK(
        first_problem("policy: {script: x}\n").find("'script' is not supported: rules are data") !=
        std::string::npos);
    CHECK(first_problem("loose: [{name: a, also: {-x: {}}}]\n") ==
          "config-invalid: f:1: begins with a dash (hint: begin with a letter)");
    CHECK(first_problem("loose: [{name: a, also: {x: {}, x/y: {}}}]\n") ==
          "config-invalid: f:1: 'x/y' is x, which is there already (hint: write each one once)");
    CHECK(first_problem("loose: [{name: a, also: {x: 5}}]\n").find("must hold keys of its own") !=
          std::string::npos);
    CHECK(first_problem("policy:\n  rules:\n").find("accepted") == 0);
}

TEST_CASE("nothing there is shown as nothing there") {
    CHECK(config::show_record(document, document.defaults()) ==
          "policy:\n  default: allow\n  rules: []\nloose: []\n");
    Document got;
    got.loose.emplace_back();
    CHECK(config::show_record(document, &got) ==
          "policy:\n  default: allow\n  rules: []\nloose:\n  - {}\n");
}

TEST_CASE("the example of lists and maps can be switched on line by line") {
    CHECK(config::example_of(document) == expected_example);
}
