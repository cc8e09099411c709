"""The code of the pages in docs/ runs as it is printed, from top to bottom; only the sizes of runs are smaller."""

import re

import pytest
from test_examples import blocks

SMALLER = {
    "docs/planner.md": {},
    "docs/learning.md": {"20_000": "60", "every=5_000, n_episodes=50": "every=50, n_episodes=2"},
    "docs/recurrent.md": {
        "learn(20_000)": "learn(8)",
        '"net_arch": [64]}': '"net_arch": [64]}, n_steps=8, batch_size=8',
        "env, 50, seed=0": "env, 3, seed=0",
        "epochs=100": "epochs=1",
        "env, 20, deterministic": "env, 2, deterministic",
        "100_000, [": "8, [",
        "policy_kwargs=network)": "policy_kwargs=network, n_steps=8, batch_size=8)",
    },
}


@pytest.mark.parametrize("page", SMALLER)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(page, "python"))
    for printed, small in SMALLER[page].items():
        assert printed in code
        code = code.replace(printed, small)
    names = {"__name__": "__main__"}
    exec(compile(code, page, "exec"), names)
    assert re.search(r"\w", code) and len(names) > 3
