// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/verbs.hpp"

#include <functional>

/// What the two programs do alike around a verb.
namespace slipway::cli {

/// Reads the words behind the verb's name and the environment, answers --help, and runs the verb with
/// the options of `globals` added. The exit code; errors have been printed.
int call_verb(const Verb& verb, std::span<const std::string> words, const Arguments& globals);

/// The exit code of `run`, or that of the error (base::exit_code_for()), which is printed. An
/// interrupted program ends with 130 and says nothing, because who has interrupted it knows.
int run_program(const std::function<base::Result<int>()>& run);

} // namespace slipway::cli
