"""The one door through which files name code, and the one reader of YAML."""

import re
import sys
import textwrap

import pytest

from empo_gym.util.imports import ImportRefused, Kind, as_allow, import_name
from empo_gym.util.yaml_files import MAX_BYTES, MAX_DEPTH, MAX_VALUES, YamlError, check_size, parse_yaml, read_yaml

A_CLASS = Kind("a class", lambda found: isinstance(found, type))


def test_a_class_of_an_allowed_package_is_found_by_either_notation():
    import torch

    assert import_name("torch.nn:Linear", False, A_CLASS) is torch.nn.Linear
    assert import_name("torch.nn.Linear", False, A_CLASS) is torch.nn.Linear


@pytest.mark.parametrize("path", ["subprocess:Popen", "os.system", "builtins:eval", "torchmalware:Net", "empo_gymnast:Goal"])
def test_a_module_outside_the_allowed_packages_is_not_even_imported(path, tmp_path, monkeypatch):
    for name in ("torchmalware", "empo_gymnast"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportRefused, match="allow_imports"):
        import_name(path, False, A_CLASS)


@pytest.mark.parametrize(
    "path",
    [
        *("empo_cli.main:os.system", "torch:os", "empo_cli.main:argparse.ArgumentParser", "empo_gym.worlds.goals:dataclass"),
        *(
            "empo_gym.worlds.goals:Goal.__init__",
            "empo_gym:__main__.main",
            "empo_gym.__main__:main",
            "empo_cli.worlds_and_solve:Image",
        ),
    ],
)
def test_a_path_does_not_wander_out_of_an_allowed_module(path):
    with pytest.raises(ImportRefused):
        import_name(path, False, Kind("anything", lambda found: True))


def test_what_is_found_is_of_its_kind_before_it_is_called():
    with pytest.raises(ImportRefused, match="is not a class"):
        import_name("empo_gym.grid:load_world", False, A_CLASS)


def test_modules_are_allowed_by_name_or_all_together(tmp_path, monkeypatch):
    (tmp_path / "allowed_by_name.py").write_text("class Net:\n    class Inner:\n        pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for allow in (True, ["allowed_by_name"], "allowed_by_name"):
        assert import_name("allowed_by_name:Net", allow, A_CLASS).__name__ == "Net"
    assert import_name("allowed_by_name:Net.Inner", True, A_CLASS).__name__ == "Inner"
    with pytest.raises(ImportRefused, match="has no 'Nest'"):
        import_name("allowed_by_name:Nest", True, A_CLASS)
    with pytest.raises(ImportRefused):
        import_name("allowed_by_name:Net", ["allowed_by"], A_CLASS)


def test_an_allowed_module_does_not_lead_into_another_one(tmp_path, monkeypatch):
    (tmp_path / "leads_away.py").write_text("from subprocess import Popen\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportRefused, match="defined in the module 'subprocess'"):
        import_name("leads_away:Popen", ["leads_away"], A_CLASS)


def test_a_module_beside_the_file_is_found_and_the_search_path_is_left_as_it_was(tmp_path):
    (tmp_path / "lies_beside.py").write_text("import lies_beside_too\nclass Net(lies_beside_too.Base):\n    pass\n")
    (tmp_path / "lies_beside_too.py").write_text("class Base:\n    pass\n")
    before = list(sys.path)
    assert import_name("lies_beside:Net", ["lies_beside"], A_CLASS, folder=tmp_path).__name__ == "Net"
    assert sys.path == before
    with pytest.raises(ImportRefused, match="There is no"):
        import_name("lies_nowhere:Net", True, A_CLASS, folder=tmp_path)


def test_a_module_of_the_same_name_beside_another_file_is_refused(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name.py").write_text(f"class Net:\n    home = {folder!r}\n")
    assert import_name("same_name:Net", True, A_CLASS, folder=tmp_path / "one").home == "one"
    with pytest.raises(ImportRefused, match="rename one"):
        import_name("same_name:Net", True, A_CLASS, folder=tmp_path / "two")


def test_a_module_that_fails_is_one_sentence(tmp_path):
    (tmp_path / "fails_at_import.py").write_text("1 / 0\n")
    with pytest.raises(ImportRefused, match="ZeroDivisionError"):
        import_name("fails_at_import:Net", True, A_CLASS, folder=tmp_path)


@pytest.mark.parametrize("allow", [3, None, ["a b"], [3], {"a": 1, 2: 3}])
def test_what_is_allowed_is_a_boolean_or_names_of_modules(allow):
    with pytest.raises(ValueError, match="allow_imports must be"):
        as_allow(allow)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
DEEP_BY_ALIASES = "a0: &a0 x\n" + "".join(f"a{i}: &a{i} {'[' * 30}*a{i - 1}{']' * 30}\n" for i in range(1, 60))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, f"more than {MAX_VALUES:,} values"),
        (DEEP_BY_ALIASES, f"more than {MAX_DEPTH} deep"),
        ("a: &a [*a]", "contains itself"),
        ("&a {b: {c: *a}}", "contains itself"),
        ("&a {b: [*a], <<: *a}", "contains itself"),
        ("[" * 5000, f"more than {MAX_DEPTH} deep"),
        ("{a: " * 5000, f"more than {MAX_DEPTH} deep"),
        ("- " * 5000, f"more than {MAX_DEPTH} deep"),
        ("[" + "1," * 400_000 + "]", f"more than {MAX_VALUES:,} values"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' occurs twice"),
        ("x: " + "9" * 5000, "a number of 5000 characters"),
        ("x: 1" + ":59" * 5000, "a number of 15001 characters"),
        ("x: !!int ''", "a value cannot be read"),
        ("x: !!timestamp abc", "a value cannot be read"),
        ("x: !!bool abc", "a value cannot be read"),
        ("x: 2001-99-99", "a value cannot be read"),
        ("x: !!python/object/apply:os.system [ls]", "plain values only"),
        ("? {a: b}\n: c", "plain values only"),
        ("x: *nothing", "not complete YAML"),
        ("x: [1, 2", "not complete YAML"),
        ("a: 1\n---\nb: 2", "not complete YAML"),
        ("a: \x07", "not complete YAML"),
    ],
)
def test_hostile_yaml_is_one_sentence(text, said):
    with pytest.raises(YamlError) as caught:
        parse_yaml(text, "some.yaml")
    assert said in str(caught.value) and str(caught.value).startswith("some.yaml") and len(str(caught.value)) < 400


def test_plain_yaml_with_aliases_and_merges_means_what_it_says():
    text = textwrap.dedent("""\
        base: &base {a: 1, b: &list [1, 2]}
        more: &more {<<: *base, a: 2}
        last: {<<: [*more, *base], c: *list}
        """)
    read = parse_yaml(text, "some.yaml")
    assert read["more"] == {"a": 2, "b": [1, 2]} and read["last"] == {"a": 2, "b": [1, 2], "c": [1, 2]}


def test_files_that_are_too_large_missing_or_no_text_are_one_sentence(tmp_path):
    (tmp_path / "large.yaml").write_text("#" * (MAX_BYTES + 1))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, said in (
        ("large", "larger than 1 MB"),
        ("binary", "no UTF-8"),
        ("missing", "cannot be read"),
        ("x" * 5000, "cannot be"),
    ):
        with pytest.raises(YamlError, match=said):
            read_yaml(tmp_path / f"{name}.yaml")


def test_values_of_python_have_the_same_limits():
    itself = []
    itself.append(itself)
    bomb, deep = ["x"] * 10, []
    for _ in range(9):
        bomb = [bomb] * 10
    for _ in range(5000):
        deep = [deep]
    joined = []
    for _ in range(40):
        parts = joined
        for _ in range(30):
            parts = [parts]
        joined = [joined, parts]
    for value in (itself, {"a": {"b": itself}}, bomb, deep, joined, [0] * (MAX_VALUES + 1)):
        with pytest.raises(YamlError):
            check_size(value, "The world")
    check_size({"a": [1, 2, (3, {"b": 4})]}, "The world")


def test_values_of_python_are_counted_with_what_holds_them():
    inner = [0] * 9
    parts, depth = [inner] * ((MAX_VALUES - 1) // 10), 0
    check_size(parts + [0] * (MAX_VALUES - 1 - 10 * len(parts)), "The world")
    with pytest.raises(YamlError, match="values"):
        check_size(parts + [0] * (MAX_VALUES - 10 * len(parts)), "The world")
    for _ in range(MAX_DEPTH - 1):
        depth = [depth]
    check_size(depth, "The world")
    with pytest.raises(YamlError, match="deep"):
        check_size([depth], "The world")


def test_a_name_of_120_characters_is_quoted_whole():
    for n, end in ((120, "'"), (121, "...'")):
        with pytest.raises(ImportRefused, match=re.escape("a" * 120 + end)):
            import_name("a" * n, False, Kind("a class", callable))
