// SPDX-License-Identifier: Apache-2.0
#include "image/native.hpp"
#include "launcher/env_script.hpp"

#include <catch2/catch.hpp>

using namespace slipway::launcher;

namespace {

bool no_files(char, const std::string&) {
    return false;
}

/// Exported variables after the script, "-" when it needs a shell.
std::string outcome(const std::string& text, Variables variables = {}) {
    if (!evaluate_script(text, variables, no_files)) {
        return "-";
    }
    std::string out;
    for (const auto& [name, variable] : variables) {
        out += name + (variable.exported ? "=" : ":=") + variable.value + ";";
    }
    return out;
}

} // namespace

TEST_CASE("environment scripts that need no shell") {
    struct Row {
        std::string script;
        std::string expected;
    };
    const auto row = GENERATE(values<Row>({
        {"", ""},
        {"#!/bin/sh\n# nothing here\n\n", ""},
        {"export A=\"b c\"", "A=b c;"},
        {"export A='$X `y`'", "A=$X `y`;"},
        {"A=1\nexport A", "A=1;"},
        {"A=1", "A:=1;"},
        {"export A=\"${A:-\"image value\"}\"", "A=image value;"},
        {"export A=\"${A:-}\"", "A=;"},
        {"export A=\"\\$HOME \\\"q\\\" \\`x\\` \\\\\"", "A=$HOME \"q\" `x` \\;"},
        {"export A=\"line\nbreak\"", "A=line\nbreak;"},
        {"export A=\"${A:-\"v}w\"}\"", "A=v}w;"},
        {"export A=/opt/bin:$A", "A=/opt/bin:;"},
        {"A=x\nB=\"${A:+yes}${C:+no}${A+set}${C-unset}\"", "A:=x;B:=yessetunset;"},
        {"A=1; export A; unset A", ""},
        {"A=$B", "A:=;"},
        {"export A=1 # comment", "A=1;"},
        {"unset A \\\n  B", ""},
        {"if [ -z \"$A\" ]; then\n B=1\nelse\n B=2\nfi\nexport B", "B=1;"},
        {"if test -n \"${A:-}\"; then exec something | else; fi", ""},
        {"if [ \"x\" = \"y\" ]; then A=1; elif [ ! -n \"\" ]; then A=2; else A=3; fi", "A:=2;"},
        {"if [ -d /nowhere ]; then\n . /nowhere/env\nfi", ""},
        {"if [ -z \"$A\" ]; then if [ -n \"$A\" ]; then B=1; fi; C=1; fi", "C:=1;"},
    }));
    CAPTURE(row.script);
    CHECK(outcome(row.script) == row.expected);
}

TEST_CASE("environment scripts that only a shell understands") {
    const auto script = GENERATE(values<std::string>({
        "export A=$(date)",
        "export A=\"`date`\"",
        ". /opt/setup.sh",
        "source /opt/setup.sh",
        "echo hello",
        "A=1 B=2",
        "A=1 command",
        "export A=1 B=2",
        "export -n A",
        "export A",
        "export A=~/x",
        "A=${B%x}",
        "A=${B:?needed}",
        "A=${B:=x}",
        "A=\"$1\"",
        "A=\"$$\"",
        "A=$B$C*",
        "export $A",
        "for x in a b; do A=$x; done",
        "case $A in b) C=1;; esac",
        "f() { A=1; }\nf",
        "[ -z \"$A\" ] && export A=1",
        "if [ -z \"$A\" ]; then A=1; fi && B=1",
        "if grep -q x /etc/passwd; then A=1; fi",
        "if [ \"$A\" -gt 1 ]; then A=1; fi",
        "if [ -z \"$A\" ]; then A=1",
        "A=1 > /tmp/x",
        "export A=\"unclosed",
        "export A='unclosed",
        "cat <<EOF\nA=1\nEOF",
        "A=*",
        "A[0]=1",
        "set -e",
        "fi",
        "exit 0",
    }));
    CAPTURE(script);
    CHECK(outcome(script) == "-");
}

TEST_CASE("a script that needs a shell changes nothing") {
    Variables variables{{"A", {"old", true}}};
    CHECK_FALSE(evaluate_script("A=new\necho", variables, no_files));
    CHECK(variables.at("A").value == "old");
    CHECK_FALSE(evaluate_script(std::string("A=1\0", 4), variables, no_files));
}

TEST_CASE("values of the user are the inside of double quotes") {
    const Variables variables{{"HOME", {"/home/u", true}}};
    std::string out;
    CHECK(expand_double_quoted("plain \"text\"", variables, out));
    CHECK(out == "plain \"text\"");
    CHECK(expand_double_quoted("$HOME/x:${HOME}", variables, out));
    CHECK(out == "/home/u/x:/home/u");
    CHECK(expand_double_quoted("\\$HOME", variables, out));
    CHECK(out == "$HOME");
    CHECK_FALSE(expand_double_quoted("$(id)", variables, out));
    CHECK_FALSE(expand_double_quoted("`id`", variables, out));
}

TEST_CASE("the scripts that our own converter writes need no shell") {
    slipway::image::ImageConfig config;
    config.env = {"PATH=/opt/bin:/usr/bin", "GREETING=hello \"world\" $HOME `x`"};
    Variables variables;
    for (const auto& entry : slipway::image::native_tree({}, config)) {
        if (entry.path.starts_with(".singularity.d/env/") && entry.path.ends_with(".sh")) {
            CAPTURE(entry.path, entry.content);
            CHECK(evaluate_script(entry.content, variables, no_files));
        }
    }
    CHECK(variables["PATH"].value == "/opt/bin:/usr/bin");
    CHECK(variables["GREETING"].value == "hello \"world\" $HOME `x`");
    CHECK(variables["LD_LIBRARY_PATH"].value == "/.singularity.d/libs");
    CHECK(variables["LD_LIBRARY_PATH"].exported);
}
