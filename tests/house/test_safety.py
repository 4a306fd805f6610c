"""Nothing in the source runs a stranger's code, hides an error or knows this machine."""

import ast
import builtins
import re
from collections.abc import Iterator

import pytest

# The error that torch.load raises for a file of anything but tensors has its home in pickle.
HARMLESS = {("pickle", "UnpicklingError")}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "imp"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    ("joblib", "load"),
    ("joblib", "dump"),
    ("yaml", "unsafe_load"),
    ("os", "system"),
    ("np", "seterr"),
}
FORBIDDEN_KEYWORDS = {("trust_remote_code", True), ("weights_only", False), ("allow_pickle", True), ("shell", True)}
ABSOLUTE = re.compile(
    r"^(/(bin|data|etc|home|media|mnt|opt|private|root|srv|tmp|usr|var|work|Users|Volumes)(/|$)|[A-Z]:\\|~/)"
)
# A method that a subclass must give, the end of a program and of an iteration are no user's mistakes.
NO_MISTAKE = {"NotImplementedError", "SystemExit", "StopIteration", "AttributeError", "KeyboardInterrupt"}


def _calls(source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def test_no_module_that_runs_what_it_reads_is_imported(package):
    found = []
    for source in package:
        for node in ast.walk(source.tree):
            pairs = [(alias.name, "") for alias in node.names] if isinstance(node, ast.Import) else []
            pairs += (
                [(node.module or "", alias.name) for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            )
            bad = [pair for pair in pairs if pair[0].split(".")[0] in FORBIDDEN_MODULES and pair not in HARMLESS]
            found += [(source.at(node), *pair) for pair in bad]
    assert not found, "\n".join(map(str, found))


def test_no_call_runs_text_or_loads_pickles(package):
    found = []
    for source in package:
        for node in _calls(source):
            if _called(node) in FORBIDDEN_CALLS:
                found.append((source.at(node), _called(node)))
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                pair = (node.func.value.id, node.func.attr)
                found += [(source.at(node), pair)] if pair in FORBIDDEN_ATTRIBUTES else []
            said = {(k.arg, k.value.value) for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
            found += [(source.at(node), pair) for pair in said & FORBIDDEN_KEYWORDS]
    assert not found, "\n".join(map(str, found))


def test_torch_and_numpy_load_say_that_they_load_no_pickle(package):
    needed = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}
    found = []
    for source in package:
        for node in _calls(source):
            owner = getattr(getattr(node.func, "value", None), "id", "")
            rule = needed.get((owner, getattr(node.func, "attr", "")))
            said = {(k.arg, getattr(k.value, "value", None)) for k in node.keywords}
            found += [source.at(node)] if rule and rule not in said else []
    assert not found, "\n".join(map(str, found))


def test_nothing_is_printed_but_by_the_command_line(package):
    found = [
        source.at(node)
        for source in package
        if source.name != "brainalign/cli.py"
        for node in _calls(source)
        if _called(node) == "print"
    ]
    assert not found, "\n".join(map(str, found))


def test_no_text_is_a_path_of_one_machine(package):
    found = [
        (source.at(node), node.value)
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ABSOLUTE.match(node.value)
    ]
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("kind", [ast.Assert, ast.Global, ast.Nonlocal])
def test_no_assert_and_no_global(package, kind):
    """An assert vanishes under -O and says too little; a global makes one caller another's business."""
    assert [source.at(node) for source in package for node in ast.walk(source.tree) if isinstance(node, kind)] == []


def _swallows(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches everything and then neither raises nor looks at what it caught."""
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    looks = any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)
    return caught in ("Exception", "BaseException") and not looks and not any(isinstance(n, ast.Raise) for n in inside)


def test_no_error_is_swallowed(package):
    handlers = [(s, node) for s in package for node in ast.walk(s.tree) if isinstance(node, ast.ExceptHandler)]
    assert [source.at(node) for source, node in handlers if _swallows(node)] == []


def _raised(source) -> Iterator[tuple[str, str, bool]]:
    """Yield where something is raised, what, and whether the message carries a value."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            name = ast.unparse(node.exc.func).split(".")[-1]
            values = any(isinstance(part, ast.FormattedValue) for arg in node.exc.args for part in ast.walk(arg))
            yield source.at(node), name, values or not hasattr(builtins, name)


def test_messages_carry_the_value(package):
    raised = [item for source in package for item in _raised(source) if item[1] not in NO_MISTAKE]
    bare = [item for item in raised if not item[2]]
    assert len(bare) <= 0.2 * len(raised), bare


def test_mistakes_are_told_in_three_parts(package):
    """An error of the package says what was got and what to do; a builtin one seldom does."""
    raised = [item for source in package for item in _raised(source) if item[1] not in NO_MISTAKE]
    builtin = [item for item in raised if hasattr(builtins, item[1])]
    assert len(builtin) <= 0.1 * len(raised), builtin
