"""Every public function is annotated. `make lint` runs mypy, which checks the annotations."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_keras

ROOT = Path(__file__).parents[1]
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "mamsf_keras").rglob("*.py"))


def public_functions(body):
    """Yields the functions of a module and the methods of its classes, without those inside of functions."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "__init__" or not node.name.startswith("_"):
                yield node


def not_annotated(function):
    """Lists the parameters without a type, and "return" if it has none; `*args` and `**kwargs` need none."""
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    names = [one.arg for one in arguments if one.annotation is None and one.arg not in ("self", "cls")]
    return names if function.returns else [*names, "return"]


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_are_annotated(module):
    functions = public_functions(ast.parse((ROOT / module).read_text(encoding="utf-8")).body)
    lacking = {f"{function.name}, line {function.lineno}": not_annotated(function) for function in functions}
    assert not {name: missing for name, missing in lacking.items() if missing}


def test_missing_annotations_are_found():
    code = "class A:\n    def __init__(self, a: int, *, b=1, **c): ...\n    def _d(self, e): ...\ndef f(g) -> int: ..."
    assert [not_annotated(function) for function in public_functions(ast.parse(code).body)] == [["b", "return"], ["g"]]
