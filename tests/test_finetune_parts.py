"""The parts of a fine-tuning run: what is cached, what the guard does, what an evaluation counts."""

import importlib
import json
import math
import sys
from dataclasses import replace

import finetune_worlds
import gymnasium as gym
import numpy as np
import pytest
import torch as th
from finetune_worlds import DOTS, OPTIONS, Dots, Silent

from empo_sb3.diffusion import Horizons, RecedingHorizon
from empo_sb3.finetune import Settings, demonstrations, evaluate, origins, pretrain, warm_up_critic, wilson
from empo_sb3.finetune.keypoint_extractor import KeypointExtractor, spatial_softmax
from empo_sb3.finetune.models import build, training_env
from empo_sb3.finetune.optimizers import rates
from empo_sb3.finetune.run import EVALUATION_STARTS, TEST_STARTS, starts, targets
from empo_sb3.finetune.settings import FRANKA_EXPERT, SIZES
from empo_sb3.optim import Mechanic, actor_critic


@pytest.fixture
def built():
    """``built(**settings) -> (settings, model)``; environments are closed at the end."""
    envs = []

    def make(**changes):
        settings = Settings(**OPTIONS | changes)
        envs.append(training_env(settings))
        return settings, build(settings, envs[-1])

    yield make
    for env in envs:
        env.close()


def quiet(_):
    pass


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimizer": "mechanics"}, "'mechanic'"),
        ({"policy": "gauss"}, "gaussian"),
        ({"size": "defaul"}, "'default'"),
        *(({"lr": lr}, "lr must be a number in") for lr in (0.0, -1.0, math.inf, math.nan)),
        *(({"guard": guard}, "guard") for guard in (-0.1, math.nan)),
        *(({"steps": steps}, "steps") for steps in (0, 1.5)),
        *(({"seed": seed}, "seed must be an integer from 0") for seed in (-1, 2**32, 0.5)),
        ({"optimizer": "adam", "tuners": "separate"}, "'adam' has no tuners"),
        ({"optimizer": "kl", "schedule": "linear"}, "leave schedule out"),
        ({"schedule": "cosine"}, "constant, linear"),
        ({"denoiser": "cnn"}, "leave them out, or say policy 'diffusion'"),
        ({"policy": "diffusion", "optimizer": "kl"}, "'kl' needs"),
    ],
)
def test_settings_that_make_no_run_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        Settings(**changes)


def test_runs_that_differ_have_folders_of_their_own():
    changes = [{}, {"lr": 0.1}, {"shift": "camera"}, {"seed": 1}, {"guard": math.inf}, {"steps": 5}, {"size": "ci"}]
    changes += [{"policy": "diffusion"}, {"policy": "diffusion", "denoiser": "cnn"}, {"optimizer": "adam"}]
    changes += [{"tuners": "separate"}, {"schedule": "constant"}, {"expert": "mine:expert"}, {"env": "my:a/b-v0"}]
    names = {Settings(**change).name for change in changes}
    assert len(names) == len(changes) and not any(set(name) & set("/\\:") for name in names)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"lr": 1.0}, True),
        ({"schedule": "linear"}, True),
        ({"lr": 0.5}, False),
        ({"schedule": "constant"}, False),
        ({"expert": "mine:expert"}, False),
    ],
)
def test_saying_the_optimizers_own_rate_aloud_is_no_other_run(changes, is_same):
    assert Settings(**changes).is_of(Settings().as_json()) == Settings().is_of(Settings(**changes).as_json()) == is_same


def test_a_run_of_a_version_that_knew_fewer_settings_is_another_one():
    kept = json.loads(Settings().as_json())
    del kept["schedule"]
    assert not Settings().is_of(json.dumps(kept))


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ("Nobodys-v0", "cannot be made with image_size=36.*exist"),
        ("CartPole-v1", "cannot be made.*image_size"),
        ("ChannelsLast-v0", "'image' must be uint8 from 0 to 255, channels first"),
    ],
)
def test_environments_that_do_not_fit_are_refused_before_anything_is_done(env, told):
    with pytest.raises(ValueError, match=told):
        training_env(Settings(**OPTIONS | {"env": env}))


def test_an_environment_that_never_says_whether_it_succeeded_is_found_out_at_the_first_demonstration(tmp_path):
    with pytest.raises(ValueError, match="is_success"):
        demonstrations(Settings(**OPTIONS | {"env": "my/Silent-v0"}), tmp_path, quiet)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="is_success"):
        evaluate(Expert(), Silent, range(1))


def test_a_damaged_file_in_the_cache_is_named(built, tmp_path):
    settings, model = built()
    pretrain(settings, model, tmp_path, quiet)
    (clone,) = tmp_path.glob("clone*.pt")
    for damage in (clone.read_bytes()[:1000], b""):
        clone.write_bytes(damage)
        with pytest.raises(ValueError, match=f"{clone.name}.*remove it") as caught:
            pretrain(settings, model, tmp_path, quiet)
        assert "\n" not in str(caught.value)
    clone.unlink()
    (shown,) = tmp_path.glob("demonstrations*.npz")
    shown.write_bytes(shown.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read"):
        pretrain(settings, model, tmp_path, quiet)


@pytest.mark.parametrize(("n_successes", "n"), [(0, 10), (3, 10), (60, 100), (100, 100)])
def test_wilsons_interval_ends_where_the_observed_share_is_just_plausible(n_successes, n):
    share, z = n_successes / n, 1.959964
    for p in wilson(n_successes, n):
        if 0 < p < 1:
            assert abs(share - p) == pytest.approx(z * math.sqrt(p * (1 - p) / n), rel=1e-6)
        else:
            assert p == share


class Expert:
    """Answers as the expert of Dots would: it can read the target off the picture."""

    def predict(self, seen, deterministic):
        rows = [np.argwhere(picture[0])[0] / 29 * 2 - 1 for picture in seen["image"]]
        return np.clip(10 * (np.array(rows) - seen["proprio"]), -0.35, 0.35), None


@pytest.mark.parametrize("n_envs", [1, 3, 8])
def test_an_evaluation_plays_every_start_once_in_order(n_envs):
    found = evaluate(Expert(), Dots, range(7), n_envs)
    alone = [evaluate(Expert(), Dots, [seed], 1) for seed in range(7)]
    assert found.successes == tuple(one.successes[0] for one in alone) and 0 < found.success < 1
    np.testing.assert_allclose(found.returns, [one.returns[0] for one in alone])


def test_demonstrations_evaluations_and_tests_start_elsewhere():
    some = Settings(**OPTIONS)
    amounts = max(size.test_episodes + size.evaluation_episodes for size in SIZES.values())
    ranges = [
        starts(s, first, amounts) for s in (some, replace(some, seed=1)) for first in (0, EVALUATION_STARTS, TEST_STARTS)
    ]
    assert len({seed for one in ranges for seed in one}) == len(ranges) * amounts


def test_evaluations_are_at_whole_iterations_and_the_last_at_the_end():
    assert targets(Settings(**OPTIONS)) == [32, 64]
    assert targets(Settings(**OPTIONS, steps=33)) == [32, 64]
    assert targets(Settings(**OPTIONS, policy="diffusion")) == [8, 16]
    assert targets(Settings())[-1] == 40_960


def test_a_clone_is_made_once_and_read_by_whoever_wants_the_same(built, tmp_path, monkeypatch):
    settings, model = built()
    pretrain(settings, model, tmp_path, quiet)
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == ["clone", "demonstrations"]
    again = lambda env: pytest.fail("the expert was asked again")  # noqa: E731
    again.__module__ = finetune_worlds.__name__  # its code is what counts
    monkeypatch.setattr(finetune_worlds, "expert", again)
    other_settings, other = built(optimizer="adam", shift="dim")
    before = [p.clone() for p in other.policy.parameters()]
    pretrain(other_settings, other, tmp_path, quiet)
    assert any((p != q).any() for p, q in zip(before, other.policy.parameters(), strict=True))
    assert all((p == q).all() for p, q in zip(model.policy.parameters(), other.policy.parameters(), strict=True))


EXPERT = "import finetune_worlds\ndef expert(env):\n    return finetune_worlds.expert(env)\n"


@pytest.fixture
def own_expert(tmp_path, monkeypatch):
    """``own_expert(source)`` writes and reloads the module ``own_expert_of_test``."""
    path = tmp_path / "code" / "own_expert_of_test.py"
    path.parent.mkdir()
    monkeypatch.syspath_prepend(path.parent)

    def write(source):
        path.write_text(source)
        sys.modules.pop("own_expert_of_test", None)
        return Settings(**OPTIONS | {"expert": "own_expert_of_test:expert"})

    yield write
    sys.modules.pop("own_expert_of_test", None)


def test_an_edited_expert_demonstrates_anew_and_the_old_one_is_still_known(own_expert, tmp_path):
    cache = tmp_path / "cache"
    old = demonstrations(own_expert(EXPERT), cache, quiet)
    idle = EXPERT.replace("finetune_worlds.expert(env)", "lambda: finetune_worlds.np.zeros(2)")
    new = demonstrations(own_expert(idle), cache, quiet)
    assert not np.array_equal(old.actions, new.actions) and len(list(cache.iterdir())) == 2
    again = demonstrations(own_expert(EXPERT), cache, quiet)
    assert np.array_equal(old.actions, again.actions) and len(list(cache.iterdir())) == 2


def test_files_in_the_cache_depend_on_the_registered_world_and_on_the_packages(monkeypatch):
    settings = Settings(**OPTIONS)
    before = origins.made_with(settings)
    assert before == origins.made_with(settings)
    with monkeypatch.context() as change:
        change.setitem(gym.registry[DOTS].kwargs, "shift", "dim")
        assert origins.made_with(settings)["world"] != before["world"]
    with monkeypatch.context() as change:
        change.setattr(origins, "version", lambda name: "0.0" if name == "torch" else "1")
        assert origins.made_with(settings)["versions"] == {**dict.fromkeys(origins.PACKAGES, "1"), "torch": "0.0"}
    assert origins.made_with(settings) == before
    assert origins.made_with(Settings(**OPTIONS | {"env": "Nobodys-v0"}))["world"] is None


def test_code_in_a_package_is_hashed_with_its_neighbors(tmp_path, monkeypatch):
    package = tmp_path / "arm_of_test"
    package.mkdir()
    for name in ("__init__", "expert", "kinematics"):
        (package / f"{name}.py").write_text("LENGTH = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("arm_of_test.expert")
    before = origins.code_of(module)
    (package / "kinematics.py").write_text("LENGTH = 2\n")
    assert origins.code_of(module) != before


@pytest.mark.parametrize("edited", ["ex", "helper", "sub/deep", "beside"])
def test_an_expert_that_is_imported_from_elsewhere_is_known_by_its_code(tmp_path, monkeypatch, edited):
    package = tmp_path / "home_of_test"
    sources = {
        "../reexported_of_test": "from home_of_test.ex import expert\nimport beside_of_test\n",
        "../beside_of_test": "LENGTH = 1\n",
        "__init__": "",
        "ex": "from . import helper\nfrom home_of_test.sub import deep\n\n\ndef expert(env): ...\n",
        "helper": "LENGTH = 1\n",
        "sub/__init__": "",
        "sub/deep": "LENGTH = 1\n",
    }
    (package / "sub").mkdir(parents=True)
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    settings = Settings(**OPTIONS | {"expert": "reexported_of_test:expert"})
    before = origins.made_with(settings)["expert_code"]
    assert before == origins.made_with(settings)["expert_code"]
    name = "../beside_of_test" if edited == "beside" else edited
    (package / f"{name}.py").write_text(sources[name] + "NEW = 2\n")
    assert origins.made_with(settings)["expert_code"] != before
    for module in ("reexported_of_test", "beside_of_test", "home_of_test"):
        for loaded in [one for one in sys.modules if one.partition(".")[0] == module]:
            sys.modules.pop(loaded)


def test_what_a_neighbor_imports_is_part_of_the_code(tmp_path, monkeypatch):
    package = tmp_path / "pair_of_test"
    (package / "deep").mkdir(parents=True)
    for name, source in {
        "__init__": "",
        "a": "",
        "b": "from .deep import c\n",
        "deep/__init__": "",
        "deep/c": "X = 1\n",
    }.items():
        (package / f"{name}.py").write_text(source)
    (package / "broken.py").write_text("def (\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("pair_of_test.a")
    before = origins.code_of(module)
    (package / "deep/c.py").write_text("X = 2\n")
    assert origins.code_of(module) != before


@pytest.mark.parametrize("expert", ["math:sqrt", "_heapq:heappop", "torch._C:Generator"])
def test_compiled_experts_are_known_by_name(expert):
    settings = Settings(**OPTIONS | {"expert": expert})
    assert origins.made_with(settings)["expert_code"]


@pytest.mark.parametrize("expert", [".:f", "..x:f", "nowhere:f", "math:nothing"])
def test_an_expert_that_cannot_be_imported_is_one_sentence(expert):
    with pytest.raises(ValueError, match="cannot be imported as"):
        origins.imported(expert)


def test_a_recording_that_is_stopped_leaves_no_file(built, tmp_path, monkeypatch):
    def stopping(env):
        asked = iter(range(15))

        def answer():
            if next(asked, None) is None:
                raise KeyboardInterrupt
            return np.zeros(2, np.float32)

        return answer

    monkeypatch.setattr(finetune_worlds, "expert", stopping)
    settings, model = built()
    with pytest.raises(KeyboardInterrupt):
        pretrain(settings, model, tmp_path, quiet)
    assert not list(tmp_path.iterdir())


def test_the_critic_warms_up_while_the_actor_rests(built, tmp_path):
    settings, model = built()
    pretrain(settings, model, tmp_path, quiet)
    before = {name: p.clone() for name, p in model.policy.named_parameters()}
    warm_up_critic(settings, model, quiet)
    for name, parameter in model.policy.named_parameters():
        assert bool((parameter != before[name]).any()) == (actor_critic(name) == "critic"), name


@pytest.mark.parametrize("policy", ["gaussian", "diffusion"])
def test_actor_and_critic_have_a_tuner_each_that_is_their_encoders_too(built, policy):
    _, model = built(policy=policy, tuners="separate")
    optimizer = model.policy.optimizer
    assert isinstance(optimizer, Mechanic) and set(optimizer.scales) == {"actor", "critic"} == {n[3:] for n in rates(model)}
    for name, parameter in model.policy.named_parameters():
        label = optimizer.labels[optimizer.state[parameter]["tuner"]]
        if "features_extractor" in name:
            assert label == ("critic" if name.startswith("vf_") else "actor")


def test_one_tuner_for_all_weights_is_what_nobody_has_to_ask_for(built):
    _, model = built()
    assert set(model.policy.optimizer.scales) == {"all"}
    found = rates(model)
    assert set(found) == {"lr_actor", "lr_critic"} and found["lr_actor"] == found["lr_critic"]


def test_exploration_is_not_cloned(built, tmp_path):
    settings, model = built()
    before = model.policy.log_std.clone()
    pretrain(settings, model, tmp_path, quiet)
    assert (model.policy.log_std == before).all() and before.exp().max() < 0.25


def test_an_expert_that_cannot_be_found_is_named(built, tmp_path):
    settings, model = built(expert="finetune_worlds:nobody")
    with pytest.raises(ValueError, match="finetune_worlds:nobody"):
        pretrain(settings, model, tmp_path, quiet)
    with pytest.raises(ValueError, match=r"the expert 'empo_gym\.franka.* does not fit.*one of your own"):
        pytest.importorskip("mujoco")
        pretrain(replace(settings, expert=FRANKA_EXPERT), model, tmp_path, quiet)
    assert not list(tmp_path.iterdir())


def test_keypoints_are_where_the_bright_spots_are():
    maps = th.zeros(2, 1, 9, 9)
    maps[0, 0, 2, 8] = maps[1, 0, 4, 0] = 100.0
    th.testing.assert_close(spatial_softmax(maps), th.tensor([[1.0, -0.5], [-1.0, 0.0]]))


def test_a_picture_of_several_steps_and_vectors_become_features():
    env = RecedingHorizon(Dots(), Horizons(2, 4, 2))
    features = KeypointExtractor(env.observation_space, n_keypoints=5)
    seen = {key: th.as_tensor(space.sample()[None]).float() for key, space in env.observation_space.items()}
    assert features(seen).shape == (1, features.features_dim) == (1, 2 * 5 + 4)
