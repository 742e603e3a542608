"""The package as a whole: imports, docstrings, what is shipped."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.validate import validate

import skastro

ROOT = Path(skastro.__file__).parent
HEAVY = ["torch", "ultranest", "astropy", "matplotlib", "sklearn", "scipy", "numpy"]
# numpydoc's checks of form: summaries, and every parameter with its type and meaning
ERRORS = {
    *("GL01", "GL02", "GL03", "GL05", "GL06", "GL07", "SS01", "SS02", "SS03", "SS04"),
    *("SS05", "PR01", "PR02", "PR03", "PR04", "PR05", "PR07", "RT01"),
}


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_import_is_lazy():
    code = f"import sys, skastro; print([m for m in {HEAVY} if m in sys.modules])"
    assert python(code).strip() == "[]"


@pytest.mark.parametrize(
    "name",
    ["retrieval", "molecular", "emulation", "disentangling", "plotting"],
)
def test_subpackages_leave_heavy_imports_for_later(name):
    code = (
        f"import sys, skastro; skastro.{name};"
        "print([m for m in ['torch', 'ultranest', 'matplotlib'] if m in sys.modules])"
    )
    assert python(code).strip() == "[]"


def test_public_names_resolve():
    for name in skastro.__all__:
        assert getattr(skastro, name) is not None
        assert name in dir(skastro)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        skastro.nonsense  # noqa: B018


def public_objects():
    for module in pkgutil.iter_modules(skastro.__path__, "skastro."):
        if module.name.split(".")[1].startswith("_"):
            continue
        package = importlib.import_module(module.name)
        for name in package.__all__:
            value = getattr(package, name)
            if hasattr(value, "__wrapped__"):
                continue  # a strategy, whose signature hypothesis writes
            if not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            yield f"{module.name}.{name}"
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        yield f"{module.name}.{name}.{method}"


@pytest.mark.parametrize("name", sorted(set(public_objects())))
def test_docstrings(name):
    if re.search(r"\.(get_params|set_params)$", name):
        return  # scikit-learn's own, with a sentence more
    expected = ERRORS
    package, _, attribute = name.rpartition(".")
    module = sys.modules.get(package)
    if module and dataclasses.is_dataclass(getattr(module, attribute)):
        expected = ERRORS - {"PR01"}  # its fields are documented as attributes
    assert not [error for error in validate(name)["errors"] if error[0] in expected]


def test_floors():
    """A room imports from the rooms below it, and there are no circles."""
    floors = [
        {"plotting", "io", "testing"},
        {"retrieval", "model_selection"},
        {"emulation", "molecular", "disentangling", "labels", "metric_learning"},
        {"preprocessing"},
        {"decomposition"},
        {"metrics", "datasets"},
        {"parameter_space"},
    ]
    floor = {room: level for level, rooms in enumerate(floors) for room in rooms}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in floor:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or node.level != 2:
                continue
            target = (node.module or "").split(".")[0]
            if target in floor:
                assert floor[target] > floor[parts[0]], f"{path} imports {target}"


def test_modules_are_small():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 450, (
            f"{path} has outgrown its idea"
        )
