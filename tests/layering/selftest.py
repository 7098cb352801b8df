#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that every rule of check_tree.py can fail: a tree with one offence for each. And that
functions.py finds the functions of a file and nothing else."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_tree  # noqa: E402
import functions  # noqa: E402

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
SPDX_SCRIPT = "# SPDX-License-Identifier: Apache-2.0\n"
OFFENCES = [
    ("includes", "spank/a.cpp", SPDX + '#include "config/config.hpp"\n'),
    ("third_party", "spank/b.cpp", SPDX + "#include <curl/curl.h>\n"),
    ("house", "base/c.cpp", "int x;\n"),
    ("house", "base/long.cpp", SPDX + "int x;\n" * 600),
    ("house", "base/f.cpp", SPDX + "void f() {\n" + "    g();\n" * 59 + "}\n"),
    ("house", "tests/f.py", SPDX_SCRIPT + "def f():\n" + "    g()\n" * 60),
    ("house", "tests/f", "#!/bin/bash\n" + SPDX_SCRIPT + "f() {\n" + "    g\n" * 59 + "}\n"),
    ("house", "tests/f.bats", SPDX_SCRIPT + '@test "f" {\n' + "    g\n" * 59 + "}\n"),
    ("coverage", "docs/coverage.md", '`tests/a.bats` "that is not there"\n'),
    ("coroutines", "prefetch/d.cpp", SPDX + "void f() { co_await g(A{1}); }\n"),
]
CPP = """
#define MACRO(x) { x
namespace a::b {
namespace {
constexpr std::array table{
    Row{.name = "{", .read = [](int x) { return x; }},
};
constexpr auto made = make({
    1,
});
enum class E { one, two };
struct Plain { int x = 0; };
struct [[nodiscard]] S final : public T {
  public:
    explicit S(int a) : a_{a}, b_(a) {
        // } in a comment
    }
    bool operator==(const S& other) const { return a_ == other.a_; }
    auto get() const noexcept -> int {
        return R"({)" != nullptr ? '}' : 1'000;
    }
};
constexpr auto lambda = [] {
    return 1;
};
template <typename T, int n = 3>
requires(n > 2) Result<T> f(T x = {}, const std::vector<int>& list = {1, 2}) {
    struct Local {
        int g() { return 1; }
    };
    return x;
}
} // namespace
extern "C" {
int main(int, char**) {
    return 0;
}
}
TEST_CASE("a { in a title") {
    CHECK(true);
}
} // namespace a::b
"""
CPP_FUNCTIONS = {"S": 3, "operator==": 1, "get": 3, "constexpr auto lambda = []": 3, "f": 7, "main": 3, "TEST_CASE": 3}


def failures_of_rules():
    for rule, name, text in OFFENCES:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for top in check_tree.TOPS:
                (root / top).mkdir()
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
            found = {r: list(check(root)) for r, check in check_tree.RULES.items()}
            if [r for r, hits in found.items() if hits] != [rule] or len(found[rule]) != 1:
                yield f"rule {rule}, {name}: {found}"


def failures_of_functions():
    found = functions.cpp_functions(CPP)
    if {name: count for name, _, count in found} != CPP_FUNCTIONS:
        yield f"functions of C++: {found}"
    lines = CPP.splitlines()
    for name, first, _ in found:
        if name not in lines[first - 1] and name != "f":  # f's template line comes first
            yield f"{name} does not begin in line {first}: {lines[first - 1]}"


def main():
    found = list(failures_of_rules()) + list(failures_of_functions())
    print("\n".join(found) if found else "every rule can fail")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
