"""Every name that the glossary gives can be imported, or is an attribute or a keyword of what can be."""

import dataclasses
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "glossary.md"


def rows() -> list[list[str]]:
    """The five cells of each row, backquotes included."""
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| ?(`| \|)", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def find(path: str) -> None:
    """Fail unless a dotted name, perhaps with a keyword, leads somewhere; some attributes exist in instances only."""
    path, _, keyword = path.removesuffix("=)").partition("(")
    package, *names = path.split(".")
    place = import_module(package)
    for name in names:
        if inspect.isclass(place) and not hasattr(place, name):
            fields = getattr(place, "__dataclass_fields__", {})
            assert name in fields or re.search(rf"\bself\.{name}\b", inspect.getsource(place)), f"{path}: no {name}"
            return
        try:
            place = getattr(place, name)
        except AttributeError:
            assert inspect.ismodule(place), f"{path}: {place} has no {name}"
            place = import_module(f"{place.__name__}.{name}")
    if keyword:
        assert keyword in inspect.signature(place).parameters


@pytest.mark.parametrize("row", rows(), ids=lambda row: "".join(quoted(row[1])))
def test_a_name_of_the_glossary_is_where_the_page_says(row):
    _symbol, name, _term, equation, places = row
    paths = quoted(places)
    assert paths
    for path in paths:
        find(path)
    assert any(re.search(rf"\b{re.escape(quoted(name)[0])}\b", path) for path in paths)
    assert not equation or re.fullmatch(r"\(\d\)([-,] ?\(\d\))*", equation)


def test_the_glossary_names_all_equations_and_every_number_of_the_theory():
    from empo_gym import Theory

    text = " ".join(row[3] for row in rows() if row[0])
    assert {f"({number})" for number in range(1, 10)} <= set(re.findall(r"\(\d\)", text))
    names = {quoted(row[1])[0] for row in rows()}
    assert {field.name for field in dataclasses.fields(Theory)} <= names


@pytest.mark.parametrize("path", ["empo_gym.EmpoSolution.q_x", "empo_gym.nothing", "empo_gym.solve_humans(beleif=)"])
def test_a_wrong_name_would_be_seen(path):
    with pytest.raises((AssertionError, ImportError)):
        find(path)
