"""The house that the code lives in: its floors, its rooms, and how large a thing in them may be.

docs/development.md draws it; `lint-imports` holds the floors, and this file holds the drawing to them.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from sweeps.cell.method import METHODS

ROOT = Path(__file__).parents[1]
PACKAGES = ("surgery", "evaluation", "sweeps", "hydra_plugins")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}

LONGEST_FUNCTION, MOST_PARAMETERS = 60, 8
# What Hydra makes by `_target_`, and what typer reads its options from: their parameters are keys that people type.
MANY_KEYS = {
    ("evaluation/own_files.py", "own_evaluators"),
    ("evaluation/safety/safety.py", "safety_evaluators"),
    ("sweeps/commands/export_commands.py", "export"),
    ("sweeps/commands/methods_command.py", "methods"),
    ("sweeps/executors/slurm.py", "__init__"),
}
# What of this repository uses the packages, beside themselves and the tests.
USERS = ("toyworld", "validation", "benchmarks", "tools")
MOST_FILES, MEDIAN_LINES, MOST_LATE_IMPORTS = 16, 90, 26


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file, tree in TREES.items():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    own = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - own + bool(given.vararg) + bool(given.kwarg)


def own_imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield node, whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from ((node, name.name) for name in node.names)


def room_of(module: str) -> str:
    """`sweeps.run` of `sweeps.run.run_cell`; a package's own files are its ground."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 or MODULES[module].name == "__init__.py" else module


def test_functions_fit_a_screen() -> None:
    long = [
        (str(file.relative_to(ROOT)), function.name)
        for file, function in functions()
        if (function.end_lineno or 0) - function.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_function_has_more_parameters_than_a_reader_holds() -> None:
    many = {
        (str(file.relative_to(ROOT)), function.name)
        for file, function in functions()
        if parameters(function) > MOST_PARAMETERS
    }
    assert many == MANY_KEYS


def test_modules_are_small() -> None:
    lines = sorted(len(file.read_text(encoding="utf-8").splitlines()) for file in FILES)
    assert lines[len(lines) // 2] <= MEDIAN_LINES


def test_our_own_packages_are_imported_where_everybody_looks() -> None:
    """At the top of a file; inside a function only where what it brings takes seconds to import."""
    late = {
        (file, node.lineno)
        for file, function in functions()
        for node, name in own_imports(function)
        if name.split(".")[0] in PACKAGES
    }
    assert len(late) <= MOST_LATE_IMPORTS


def test_rooms_are_small_and_a_name_stands_for_one_file() -> None:
    rooms = Counter(file.parent for file in FILES)
    assert {str(room): files for room, files in rooms.items() if files > MOST_FILES} == {}
    stems = Counter(file.stem for file in FILES if file.name != "__init__.py")
    assert [stem for stem, times in stems.items() if times > 1] == []


def drawn(package: str) -> list[list[str]]:
    """The floors of a package in docs/development.md, from the top; the rooms on each."""
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    picture = re.search(rf"<!-- floors of {package} -->\n```\n(.*?)```", text, re.DOTALL)
    assert picture is not None
    floors = [re.split(r"\s{2,}", line.strip())[0] for line in picture[1].splitlines() if line.strip()]
    return [floor.split(" | ") for floor in floors]


@pytest.mark.parametrize("package", ["surgery", "evaluation", "sweeps"])
def test_the_picture_of_the_house_shows_its_floors(package: str) -> None:
    """Every room stands on it, each import goes down it, and the import contract says the same."""
    floors = drawn(package)
    height = {f"{package}.{room}": -level for level, floor in enumerate(floors) for room in floor}
    folders = {
        f"{package}.{folder.name}" for folder in (ROOT / package).iterdir() if (folder / "__init__.py").is_file()
    }
    assert folders <= set(height)
    assert all(room in folders or room in MODULES for room in height)
    for module, file in MODULES.items():
        here = room_of(module)
        for _, name in own_imports(TREES[file]):
            there = room_of(name) if name in MODULES else ""
            if here in height and there in height and here != there:
                assert height[here] > height[there], f"{module} imports {name}"
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [contract] = [one for one in contracts if one.get("containers") == [package]]
    assert [floor.split(" | ") for floor in contract["layers"]] == floors


def face(room: str) -> set[str]:
    """The modules of a room that others may use."""
    return {f"{room}.{name}" for name in import_module(room).__all__}


def used_from_outside() -> dict[str, set[str]]:
    """{module of a room: who outside the room uses it}: by an import, or by its dotted name in a config or a text."""
    users: dict[str, set[str]] = {f"sweeps.{needs.room}.{name}": {"METHODS"} for name, needs in METHODS.items()}
    in_rooms = [module for module in MODULES if module.count(".") == 2]
    more = [file for folder in USERS for file in (ROOT / folder).rglob("*.py")]
    named = re.compile(rf"(?<![\w.])({'|'.join(sorted(map(re.escape, in_rooms), key=len, reverse=True))})\b")
    for file in [*FILES, *more, *(ROOT / "conf").rglob("*.yaml"), ROOT / "pyproject.toml"]:
        user = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        text = code_of(file)
        imported = [name for _, name in own_imports(ast.parse(text))] if file.suffix == ".py" else []
        for module in {*named.findall(text), *imported}:
            if not user.startswith(module.rpartition(".")[0] + "."):
                users.setdefault(module, set()).add(user)
    for package in ("surgery", "evaluation", "sweeps"):
        for node in ast.parse((ROOT / package / "__init__.pyi").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                users.setdefault(f"{package}.{node.module}", set()).add(package)
    return users


def code_of(file: Path) -> str:
    """A file without its comments and docstrings, which may name what they do not use."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return re.sub(r"#.*", "", text)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.unparse(tree)


def test_a_room_names_what_others_use_of_it_and_nothing_else() -> None:
    rooms = {module.rpartition(".")[0] for module in MODULES if module.count(".") == 2}
    used = {module for module in used_from_outside() if module.rpartition(".")[0] in rooms}
    named = set().union(*map(face, rooms))
    assert used - named == set(), "name these in __all__ of their rooms, or leave them to these"
    assert named - used == set(), "nobody outside their rooms uses these: take them out of __all__"


def test_a_function_that_only_its_module_uses_is_marked() -> None:
    everywhere = [ROOT / "pyproject.toml"]
    for folder in (*PACKAGES, *USERS, "tests", "conf", "docs"):
        everywhere += [file for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".pyi", ".yaml", ".md")]
    words = Counter(word for file in everywhere for word in set(re.findall(r"\w+", file.read_text(encoding="utf-8"))))
    alone = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for file, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_" and words[node.name] == 1
        if not node.decorator_list
    ]
    assert alone == []


@pytest.mark.parametrize("package", ["surgery", "evaluation", "sweeps"])
def test_what_is_public_is_named_once_and_is_there(package: str) -> None:
    """`from PACKAGE import NAME` gives the thing that the face says, from the module that it says."""
    face = ast.parse((ROOT / package / "__init__.pyi").read_text(encoding="utf-8"))
    named = [(node.module, name) for node in face.body if isinstance(node, ast.ImportFrom) for name in node.names]
    loaded = import_module(package)
    assert sorted(name.name for _, name in named) == sorted(loaded.__all__)
    for module, name in named:
        assert getattr(loaded, name.name) is getattr(import_module(f"{package}.{module}"), name.name)
        assert not name.name.startswith("_")
    assert all(import_module(one).__version__ == version("llm-surgery") for one in ("surgery", "sweeps"))
