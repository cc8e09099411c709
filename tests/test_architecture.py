"""The rules of "Where things go" in CONTRIBUTING.md, read off the source with ``ast``: nothing is imported here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("empo_gym", "empo_sb3", "empo_cli")
STATELESS = ("equations", "timeline", "schedules", "lr_rules")
MAX_FILE, MAX_FUNCTION = 500, 60


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
SCRIPTS = [path for folder in ("examples", "benchmarks", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]


def absolute_base(module: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.split(".") if SOURCES[module].name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def names_imported(module: str, nodes) -> set[str]:
    """Dotted names that these statements import; ``from a import b`` counts as ``a`` and ``a.b``."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(module, node)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def all_imports(module: str) -> set[str]:
    return names_imported(module, ast.walk(TREES[module]))


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imported_on_load(module: str) -> set[str]:
    """Our modules that importing this one imports: not what functions import when called, nor what only types need."""
    pending, found = list(TREES[module].body), set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= names_imported(module, [node])
        elif isinstance(node, ast.ImportFrom):
            base = absolute_base(module, node)
            for alias in node.names:
                found.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in SOURCES else base)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_type_checking(node):
            pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return (found & SOURCES.keys()) - {module}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def of(package: str) -> list[str]:
    return [name for name in SOURCES if within(name, package)]


def test_both_packages_are_found():
    assert len(of("empo_gym")) > 10 and len(of("empo_sb3")) > 5


def test_empo_gym_never_imports_torch_or_a_learner():
    forbidden = ("torch", "stable_baselines3", "sb3_contrib", "rl_zoo3", "empo_sb3", "empo_cli")
    guilty = {(m, name) for m in of("empo_gym") for name in all_imports(m) for f in forbidden if within(name, f)}
    assert not guilty


def test_only_the_command_line_of_empo_gym_names_empo_sb3_as_a_string():
    guilty = set()
    for module in of("empo_gym"):
        docs = {
            ast.get_docstring(n, clean=False)
            for n in ast.walk(TREES[module])
            if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef)
        }
        for node in ast.walk(TREES[module]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
                if node.value.startswith("empo_sb3.") and not module.startswith("empo_cli.main"):
                    guilty.add((module, node.value))
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


def test_importing_a_module_never_leads_back_to_it():
    graph = {module: imported_on_load(module) for module in SOURCES}

    def reach(start: str) -> set[str]:
        seen, pending = set(), list(graph[start])
        while pending:
            module = pending.pop()
            if module not in seen:
                seen.add(module)
                pending += graph[module]
        return seen

    assert not [module for module in graph if module in reach(module)]


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
