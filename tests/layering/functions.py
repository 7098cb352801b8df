# SPDX-License-Identifier: Apache-2.0
"""Finds the functions of a source file and how many lines each has, from the line with its name to
its closing brace.

No compiler: C++ is read by its braces, which is enough for code in our format. At namespace and
class scope a brace opens a function when a parameter list stands in front of it. A lambda, a local
class and everything else inside count as lines of the function around them.
"""
import ast
import re

CPP = {".cpp", ".hpp", ".c", ".h"}
SHELL = {".sh", ".bash", ".bats"}

# Comments, literals and preprocessor lines; what is in them is no brace.
_RAW_STRING = re.compile(r'R"([^()\\\s]{0,16})\(.*?\)\1"', re.S)
_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
    r"|^[ \t]*#(?:\\\n|[^\n])*",
    re.S | re.M,
)
_SCOPE = re.compile(r"^(?:[A-Z_]+\s+)?(?:inline\s+)?namespace\b|^extern\s+0$")
_LABELS = {"public", "protected", "private"}
_NO_NAMES = {"requires", "decltype", "noexcept", "alignas"}
_TYPE = re.compile(r"^(?:template\s*<.*>\s*)?(?:typedef\s+)?(?:class|struct|union|enum)\b[^()]*(?:\(\))?[^()]*$", re.S)


def _blank(match):
    """The same number of lines, and a value where one stood."""
    text = match.group(0)
    return ("0" if text[0] in "\"'R" else "") + "\n" * text.count("\n")


def _plain(text):
    return _NOISE.sub(_blank, _RAW_STRING.sub(_blank, text))


def _without_brackets(head):
    """The head without what stands in parentheses and template arguments."""
    for pattern in (r"\([^()]*\)", r"<[^<>()=]*>", r"\[\[.*?\]\]"):
        before = None
        while before != head:
            before, head = head, re.sub(pattern, " ", head)
    return head


def _is_function(head):
    if re.search(r"=\s*\[[^\]]*\](?:\s*\([^)]*\))?[^,;]*$", head):
        return True
    if "(" not in head:
        return False
    outside = re.sub(r"operator\s*[^\s\w(]+", "operator", _without_brackets(head))
    outside = re.sub(r"<.*?>", " ", outside, flags=re.S)
    return "=" not in outside


def _name(head):
    names = re.findall(r"(~?[\w:]+|operator\s*[^\s\w(]+)\s*\(", head)
    return next((name for name in names if name not in _NO_NAMES), head[:40])


def cpp_functions(text):
    """(name, first line, number of lines) of every function."""
    code = _plain(text)
    found = []
    head, head_line = "", 0
    line = 1
    parentheses = 0
    depth_in_body = 0
    body = None  # (name, first line) of the function that is being read
    for place, char in enumerate(code):
        if char == "\n":
            line += 1
        if body is not None or depth_in_body:
            if char == "{":
                depth_in_body += 1
            elif char == "}":
                depth_in_body -= 1
                if depth_in_body == 0:
                    follows = code[place + 1 : place + 40].lstrip()[:1]
                    if not parentheses and (not follows or follows not in ",{"):
                        head = ""
                        if body is not None:
                            found.append((*body, line - body[1] + 1))
                    body = None
            continue
        if char == "{":
            what = head.strip()
            if parentheses == 0 and (_SCOPE.match(what) or _TYPE.match(what)):
                head = ""  # what is in it is looked at like what is around it
                continue
            depth_in_body = 1
            if parentheses == 0 and _is_function(what):
                body = (_name(what), head_line)
        elif char == "}":
            head = ""
        elif parentheses == 0 and (char == ";" or (char == ":" and head.strip() in _LABELS)):
            head = ""
        else:
            parentheses += {"(": 1, ")": -1}.get(char, 0)
            if not head.strip():
                head_line = line
            head += char
    return found


def python_functions(text):
    found = []

    def look(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append((child.name, child.lineno, child.end_lineno - child.lineno + 1))
            else:
                look(child)

    look(ast.parse(text))
    return found


def shell_functions(text):
    """Also the tests of a bats file. The closing brace stands in the column of the name."""
    found = []
    lines = text.splitlines()
    for first, line in enumerate(lines):
        start = re.match(r"(\s*)(?:function\s+)?([\w-]+\s*\(\)|@test .*?)\s*\{\s*(?:#.*)?$", line)
        if not start:
            continue
        ends = (n for n in range(first + 1, len(lines)) if re.match(start[1] + r"\}", lines[n]))
        last = next(ends, None)
        if last is not None:
            found.append((start[2], first + 1, last - first + 1))
    return found


def functions(name, text):
    """The functions of a file, which its name's end or its first line says how to read."""
    suffix = name[name.rfind(".") :] if "." in name else ""
    first = text.partition("\n")[0]
    if suffix in CPP:
        return cpp_functions(text)
    if suffix == ".py" or (first.startswith("#!") and "python" in first):
        return python_functions(text)
    if suffix in SHELL or (first.startswith("#!") and "sh" in first):
        return shell_functions(text)
    return []
