// SPDX-License-Identifier: Apache-2.0
#include "base/words.hpp"
#include "cli/options.hpp"

#include <catch2/catch.hpp>

using namespace slipway;
using namespace slipway::cli;

namespace {

base::Result<void> check_lower(std::string_view value) {
    return base::to_lower(value) == value
               ? base::Result<void>()
               : base::fail(base::Code::option_invalid, std::string(value) + " is upper",
                            "write it small");
}

constexpr Option table[] = {
    {"flag", 'f', OptionKind::flag, "", "A flag.", "FLAG OTHER_FLAG", "", ""},
    {"word", 'w', OptionKind::text, "WORD", "A word.", "WORD", "term phrase", ""},
    {"many", 'm', OptionKind::list, "A,B", "A list.", "MANY MANYPATH", "", ""},
    {"whole", 0, OptionKind::texts, "TEXT", "Texts.", "WHOLE", "", ""},
    {"never", 'n', OptionKind::flag, "", "", "NEVER", "", "it cannot be had"},
    {"nowhere", 0, OptionKind::text, "X", "", "NOWHERE", "", "it cannot be had"},
    {.name = "lower", .letter = 'l', .kind = OptionKind::list, .value = "TEXT,…",
     .environment = "LOWER", .check = check_lower},
};
constexpr OptionGroup groups[] = {{"Test", table}};
using List = std::vector<std::string>;

Arguments good(const List& words, Words mode = Words::anywhere) {
    auto parsed = parse_arguments(groups, words, mode);
    if (!parsed) {
        FAIL(parsed.error().one_line());
    }
    return std::move(*parsed);
}

std::string error_of(const List& words) {
    const auto parsed = parse_arguments(groups, words, Words::anywhere);
    return parsed ? "accepted" : parsed.error().one_line();
}

Arguments with_environment(const List& words, List variables) {
    auto arguments = good(words);
    const auto added = add_environment(arguments, groups, EnvironmentView(std::move(variables)));
    if (!added) {
        FAIL(added.error().one_line());
    }
    return arguments;
}

std::string environment_error(List variables) {
    Arguments arguments;
    const auto added = add_environment(arguments, groups, EnvironmentView(std::move(variables)));
    return added ? "accepted" : added.error().one_line();
}

} // namespace

TEST_CASE("every spelling of an option with a value") {
    for (const auto& words :
         {List{"--word", "x"}, List{"--word=x"}, List{"-w", "x"}, List{"-wx"}, List{"-w=x"},
          List{"-fw", "x"}, List{"-fwx"}, List{"--term", "x"}, List{"--phrase=x"}}) {
        INFO(words.front());
        CHECK(good(words).text("word") == "x");
        CHECK(good(words).words().empty());
    }
    CHECK(good({"--word", "-f"}).text("word") == "-f");
    CHECK(good({"--word=a=b"}).text("word") == "a=b");
    CHECK(good({"--word", "a", "--word", "b"}).text("word") == "b");
    CHECK_FALSE(good({}).text("word"));
}

TEST_CASE("flags may be switched off again") {
    CHECK(good({"-f"}).flag("flag"));
    CHECK(good({"--flag=true"}).flag("flag"));
    CHECK(good({"--flag=1"}).flag("flag"));
    CHECK_FALSE(good({"--flag", "--flag=false"}).flag("flag"));
    CHECK_FALSE(good({"-f=0"}).flag("flag"));
    CHECK_FALSE(good({}).flag_if_given("flag").has_value());
}

TEST_CASE("lists are split, texts are not") {
    CHECK(good({"-m", "a,b", "--many=c", "--many", ",,"}).list("many") == List{"a", "b", "c"});
    CHECK(good({"--whole", "a,b", "--whole=,"}).list("whole") == List{"a,b", ","});
}

TEST_CASE("where options end") {
    CHECK(good({"a", "-f", "b"}).words() == List{"a", "b"});
    CHECK(good({"a", "-f", "b"}).flag("flag"));
    CHECK(good({"a", "--", "-f"}).words() == List{"a", "-f"});
    const auto action = good({"-f", "image", "-f", "--", "--unknown"}, Words::end_options);
    CHECK(action.words() == List{"image", "-f", "--", "--unknown"});
    CHECK(action.given().size() == 1);
    CHECK(good({"--", "-image"}, Words::end_options).words() == List{"-image"});
    CHECK(good({"-"}).words() == List{"-"});
    CHECK(good({""}).words() == List{""});
}

TEST_CASE("help") {
    CHECK(good({"--help"}).wants_help());
    CHECK(good({"-fh"}).wants_help());
    CHECK_FALSE(good({"x", "--", "--help"}).wants_help());
}

TEST_CASE("mistakes on the command line") {
    CHECK(error_of({"--wrod", "x"}) ==
          "usage: unknown option '--wrod' (hint: did you mean --word?)");
    CHECK(error_of({"--xyzzy"}) == "usage: unknown option '--xyzzy' (hint: see the verb's --help)");
    CHECK(error_of({"-x"}) == "usage: unknown option '-x' (hint: options of the command go after "
                              "the image; see the verb's --help)");
    CHECK(error_of({"--word"}) == "usage: option --word needs a value (hint: write --word WORD)");
    CHECK(error_of({"-w"}) == "usage: option -w needs a value (hint: write -w WORD)");
    CHECK(error_of({"--flag=maybe"}) ==
          "usage: option --flag has the value 'maybe' (hint: it takes "
          "none, or true or false)");
}

TEST_CASE("a value that is none is refused, and what gave it is named") {
    const auto* const empty = " has an empty value (hint: is a variable empty? If not, leave it out)";
    for (const auto& words : {List{"--word="}, List{"--word", " "}, List{"--phrase", ""}, List{"-w="},
                              List{"--many="}, List{"--whole", ""}}) {
        const auto spelling = words.front().substr(0, words.front().find('='));
        CHECK(error_of(words) == "usage: " + spelling + empty);
    }
    CHECK(good({"--lower", "a,,b"}).list("lower") == List{"a", "b"});
    CHECK(error_of({"--lower=a,B"}) == "option-invalid: --lower: B is upper (hint: write it small)");
    CHECK(error_of({"-l", "B"}) == "option-invalid: -l: B is upper (hint: write it small)");
    CHECK(environment_error({"APPTAINER_LOWER=B"}) ==
          "option-invalid: APPTAINER_LOWER: B is upper (hint: write it small)");
    CHECK(environment_error({"APPTAINER_LOWER="}) == "accepted");
}

TEST_CASE("what gave a value is known") {
    const auto arguments = with_environment({"-w", "x"}, {"SLIPWAY_WORD=y", "APPTAINER_FLAG=1"});
    REQUIRE(arguments.last("word") != nullptr);
    CHECK(arguments.last("word")->source == "-w");
    CHECK(arguments.last("word")->typed());
    REQUIRE(arguments.last("flag") != nullptr);
    CHECK(arguments.last("flag")->source == "APPTAINER_FLAG");
    CHECK_FALSE(arguments.last("flag")->typed());
    CHECK(arguments.last("many") == nullptr);
}

TEST_CASE("the variable that names a directory for temporary files is named when it is wrong") {
    const auto error = [](List variables) {
        const auto made = temporary_directory(EnvironmentView(std::move(variables)), "slipway-test-");
        return made ? "made" : made.error().one_line();
    };
    CHECK(error({}) == "made");
    CHECK(error({"TMPDIR=/tmp", "SLIPWAY_TMPDIR="}) == "made");
    CHECK_THAT(error({"APPTAINER_TMPDIR=/nosuch", "TMPDIR=/tmp"}),
               Catch::StartsWith("io: APPTAINER_TMPDIR: cannot create a temporary directory '/nosuch/") &&
                   Catch::EndsWith("(hint: let APPTAINER_TMPDIR name a directory in which you may write)"));
    CHECK(error({"SLIPWAY_TMPDIR=here"}) ==
          "option-invalid: SLIPWAY_TMPDIR is 'here', not an absolute path (hint: begin it with /)");
}

TEST_CASE("what cannot be honoured is refused, never ignored") {
    CHECK(error_of({"--never"}) ==
          "unsupported: option --never is not supported (hint: it cannot be had)");
    CHECK(error_of({"-n"}) == "unsupported: option -n is not supported (hint: it cannot be had)");
    CHECK(error_of({"--never=false"}) == "accepted");
    CHECK(error_of({"--nowhere", "x"}).starts_with("unsupported: "));
    CHECK(error_of({"--nowhere=x"}).starts_with("unsupported: "));
    CHECK(error_of({"--nowhere"}).starts_with("unsupported: "));
    CHECK(
        environment_error({"SINGULARITY_NEVER=1"}) ==
        "unsupported: option --never, asked for by the environment variable SINGULARITY_NEVER, is "
        "not supported (hint: unset SINGULARITY_NEVER; it cannot be had)");
    CHECK(environment_error({"SINGULARITY_NEVER=0"}) == "accepted");
    CHECK(environment_error({"SINGULARITY_NEVER= "}) == "accepted");
}

TEST_CASE("environment variables stand for options") {
    for (const auto* name : {"SLIPWAY_WORD=x", "APPTAINER_WORD=x", "SINGULARITY_WORD=x"}) {
        CHECK(with_environment({}, {name}).text("word") == "x");
        CHECK(with_environment({"--word=y"}, {name}).text("word") == "y");
    }
    const List all{"SINGULARITY_WORD=s", "APPTAINER_WORD=a", "SLIPWAY_WORD=w"};
    CHECK(with_environment({}, all).text("word") == "w");
    CHECK(with_environment({}, {"SLIPWAY_WORD=", "SINGULARITY_WORD=s"}).text("word") == "s");
    CHECK_FALSE(
        with_environment({}, {"WORD=x", "SLIPWAY_WORDY=x", "XSLIPWAY_WORD=x"}).text("word"));
}

TEST_CASE("truth in environment variables") {
    for (const std::string yes : {"1", "t", "T", "TRUE", "true", "True", " 1 "}) {
        CHECK(with_environment({}, {"SLIPWAY_FLAG=" + yes}).flag("flag"));
    }
    for (const std::string no : {"0", "f", "F", "FALSE", "false", "False"}) {
        CHECK(with_environment({}, {"SLIPWAY_FLAG=" + no}).flag_if_given("flag") == false);
    }
    CHECK_FALSE(with_environment({}, {"SLIPWAY_FLAG="}).flag_if_given("flag"));
    CHECK(
        environment_error({"SLIPWAY_FLAG=yes"}) ==
        "usage: the environment variable SLIPWAY_FLAG is 'yes', neither true nor false (hint: set "
        "it to 1 or 0, or unset it)");
    // The first of an option's names decides, and the command line over all.
    CHECK(with_environment({}, {"SLIPWAY_FLAG=0", "SLIPWAY_OTHER_FLAG=1"}).flag_if_given("flag") ==
          false);
    CHECK_FALSE(with_environment({"--flag=false"}, {"SLIPWAY_FLAG=1"}).flag("flag"));
}

TEST_CASE("lists from the command line and every variable are added up, in this order") {
    const auto arguments = with_environment(
        {"-m", "a,b"}, {"SINGULARITY_MANY=c", "APPTAINER_MANY=d", "SLIPWAY_MANYPATH=e"});
    CHECK(arguments.list("many") == List{"a", "b", "d", "e"});
    CHECK(with_environment({"--whole=a"}, {"SLIPWAY_WHOLE=b,c"}).list("whole") == List{"a", "b,c"});
}
