// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace slipway::launcher {

/// A shell's variables as far as we follow them.
struct Variable {
    std::string value;
    bool exported = false;
};
using Variables = std::map<std::string, Variable, std::less<>>;

/// Answers `test -e/-f/-d/-r/-x/-s PATH` for absolute paths.
using FileTest = std::function<bool(char test, const std::string& path)>;

/// Evaluates a POSIX shell script that only sets variables, without a shell: comments, assignments,
/// export, unset, `if [ … ]`/`if test …` with -n -z = != -f -d -e -r -x -s, double and single
/// quotes, and the expansions $X ${X} ${X:-w} ${X-w} ${X:+w} ${X+w}. That is all that the scripts
/// do which converters write (reference native-image.md 1 and 3), so that most images start without
/// running a shell first.
///
/// Strict: at the first word that is not surely understood the answer is false, `variables` are
/// unchanged, and a real shell has to do it. Commands in branches that are not taken are skipped
/// (they must still be well formed). Pure; bounded by the length of the text.
bool evaluate_script(std::string_view text, Variables& variables, const FileTest& file_test);

/// The inside of a double-quoted word, with the same expansions; false when it needs a shell.
bool expand_double_quoted(std::string_view text, const Variables& variables, std::string& result);

} // namespace slipway::launcher
