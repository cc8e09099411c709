"""The rules of "Where things go" in CONTRIBUTING.md, read off the source with ``ast``."""

import ast
from pathlib import Path

import import_graph
import pytest

from empo_gym.util.old_paths import EMPO_GYM
from empo_sb3.old_paths import EMPO_SB3

ROOT = Path(__file__).resolve().parent.parent
STATELESS = ("equations", "timeline", "schedules", "lr_rules")
MAX_FILE, MAX_FUNCTION, MAX_FLOORS = 500, 60, 8


PROJECT = import_graph.Sources(ROOT)
SOURCES, TREES, GRAPH = PROJECT.paths, PROJECT.trees, PROJECT.graph()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


SCRIPTS = [path for folder in ("examples", "benchmarks", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]


def names_imported(module: str, nodes) -> set[str]:
    """Dotted names that these statements import; ``from a import b`` counts as ``a`` and ``a.b``."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = PROJECT.base(module, node)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def all_imports(module: str) -> set[str]:
    return names_imported(module, ast.walk(TREES[module]))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def of(package: str) -> list[str]:
    return [name for name in SOURCES if within(name, package)]


def test_all_packages_are_found():
    assert len(of("empo_gym")) > 50 and len(of("empo_sb3")) > 50 and len(of("empo_cli")) > 5


def test_no_import_leads_back_to_where_it_came_from():
    assert not import_graph.circles(GRAPH)


def test_a_package_imports_only_those_below_it():
    assert not import_graph.arrows_up(GRAPH)


@pytest.mark.parametrize("package", import_graph.PACKAGES)
def test_a_package_has_few_floors(package):
    assert len(import_graph.floors(import_graph.rooms(GRAPH, package))) <= MAX_FLOORS


@pytest.mark.parametrize("folder", sorted(PROJECT.packages))
def test_the_rooms_of_a_folder_do_not_import_each_other_in_circles(folder):
    assert not import_graph.circles(import_graph.rooms(GRAPH, folder))


def test_every_import_of_ours_names_a_module_of_today():
    gone = set()
    for name, tree in TREES.items() | {str(path.relative_to(ROOT)): parsed(path) for path in SCRIPTS}.items():
        for node in ast.walk(tree):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            gone |= {(name, module) for module in named if module.startswith("empo_") and module not in SOURCES}
    assert not gone


def test_an_import_is_found_wherever_it_hides(tmp_path):
    files = {
        "empo_gym/__init__.py": "from empo_gym.low import low",
        "empo_gym/low.py": "def low():\n    from empo_gym.high import High\n    return High",
        "empo_gym/high.py": "if TYPE_CHECKING:\n    from . import low\nclass High: ...",
        "empo_gym/names.py": '"""See empo_gym.low."""\nENTRY = \'empo_sb3.learner:Learner\'',
        "empo_sb3/__init__.py": "",
        "empo_sb3/learner.py": "from empo_gym import low as found\nclass Learner: ...",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = import_graph.Sources(tmp_path).graph()
    assert graph["empo_sb3.learner"] == {"empo_gym.low"}
    assert import_graph.circles(graph) == [{"empo_gym.low", "empo_gym.high"}]
    assert import_graph.arrows_up(graph) == [("empo_gym.names", "empo_sb3.learner")]
    levels = import_graph.floors(import_graph.rooms(graph, "empo_gym"))
    assert [len(level) for level in levels] == [2]


@pytest.mark.parametrize("package, table", [("empo_gym", EMPO_GYM), ("empo_sb3", EMPO_SB3)])
def test_every_old_path_leads_to_a_module_of_today(package, table):
    for old, new in table.items():
        module = f"{package}.{new}"
        assert module in SOURCES or module in PROJECT.packages, old
        assert f"{package}.{old}" not in SOURCES or f"{package}.{old}" in PROJECT.packages, old


def test_empo_gym_never_imports_torch_or_a_learner():
    forbidden = ("torch", "stable_baselines3", "sb3_contrib", "rl_zoo3", "empo_sb3", "empo_cli")
    guilty = {(m, name) for m in of("empo_gym") for name in all_imports(m) for f in forbidden if within(name, f)}
    assert not guilty


def test_a_learner_does_not_know_which_world_it_is_in():
    guilty = {(m, name) for m in of("empo_sb3") for name in all_imports(m) if within(name, "empo_gym.grid")}
    assert not guilty


def test_nobody_imports_envs():
    guilty = {(m, name) for m in SOURCES for name in all_imports(m) if within(name, "envs") or within(name, "empo_envs")}
    assert not guilty


def test_envs_holds_nothing_but_worlds():
    files = [path for path in (ROOT / "envs").rglob("*") if path.is_file()]
    assert files and all(path.suffix == ".yaml" for path in files)


@pytest.mark.parametrize("module", [name for name in SOURCES if name.split(".")[-1] in STATELESS])
def test_pure_modules_hold_no_state_read_no_files_and_log_nothing(module):
    tree = TREES[module]
    sides = ("logging", "pathlib", "os", "io", "json", "yaml", "pickle", "random", "warnings")
    assert not {name for name in all_imports(module) for side in sides if within(name, side)}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal)]
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert is_value_class(node), f"{module}.{node.name} is neither a frozen dataclass nor a protocol"


def is_value_class(node: ast.ClassDef) -> bool:
    heads = [ast.unparse(head) for head in [*node.decorator_list, *node.bases]]
    return any("frozen=True" in h or h.split(".")[-1] in ("NamedTuple", "Enum", "IntEnum", "Protocol") for h in heads)


def test_the_pure_modules_exist():
    found = {name.split(".")[-1] for name in SOURCES}
    assert {"equations", "timeline", "schedules"} <= found


def test_no_file_is_longer_than_a_reader_bears():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*SOURCES.values(), *SCRIPTS]
    }
    assert not {path: n for path, n in lengths.items() if n > MAX_FILE}


def test_no_function_is_longer_than_a_screen():
    trees = TREES | {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in SCRIPTS}
    long = {
        (name, node.name): node.end_lineno - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    }
    assert not long
