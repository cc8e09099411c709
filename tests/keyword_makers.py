"""All public constructors of ``empo_sb3`` with what they need, so that single keywords can be tried."""

import inspect
import tempfile
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from imitation_worlds import Side, expert
from sb3_worlds import gate_env

from empo_gym.theory import Theory
from empo_sb3 import EMPO, HumanDQN, RecurrentPPO, TrainingConfig
from empo_sb3.callbacks import Checkpoints, EmpoEvalCallback, ExactGap, WarmupStages
from empo_sb3.common.sb3_arguments import ON_POLICY_KINDS
from empo_sb3.diffusion import DPPO, DiffusionPolicy, Horizons, ImplicitPolicy, NoiseSchedule, RecedingHorizon, fit_chunks
from empo_sb3.diffusion.base import ChunkPolicy
from empo_sb3.empo.buffers import PairReplayBuffer
from empo_sb3.empo.human_dqn import OFF_POLICY, HumanTraining
from empo_sb3.finetune import Settings
from empo_sb3.imitation import Recipe, UnfreezeFeatures, clone, prefit_critic, record
from empo_sb3.recurrent.attention import Attention
from empo_sb3.recurrent.policies import OWN_KEYWORDS
from empo_sb3.uncertainty import RND, CountedTable, Ensemble, MCDropout, VisitCounts, Weighing

HORIZONS = Horizons(2, 3, 2)
CHUNKS = {
    "observation_space": spaces.Box(-1.0, 1.0, (6,), np.float32),
    "action_space": spaces.Box(-2.0, 2.0, (2, 1), np.float32),
    "lr_schedule": lambda _: 1e-3,
    "horizons": HORIZONS,
}
SMALL = {"n_negatives": 2, "n_samples": 4, "width": 8}
SEQUENCES = {"n_steps": 8, "batch_size": 8, "policy_kwargs": {"rnn_hidden_size": 4, "net_arch": [4]}}


@cache
def box():
    return Side("vector", "box")


@cache
def demonstrations():
    return record(expert(box()), box(), 3, seed=0)


@cache
def chunks():
    return RecedingHorizon(box(), HORIZONS)


@cache
def gate():
    return gate_env()


@cache
def chunk_policy():
    return DiffusionPolicy(**CHUNKS)


@cache
def actor_critic():
    from stable_baselines3 import PPO

    return PPO("MlpPolicy", box(), n_steps=8, batch_size=8, policy_kwargs={"net_arch": [4]}, device="cpu")


def _sequence_policy(**options):
    return RecurrentPPO("MlpGruPolicy", Side(), **{**SEQUENCES, "policy_kwargs": {**SEQUENCES["policy_kwargs"], **options}})


def _saved(cls):
    return lambda **options: cls(**{"folder": tempfile.gettempdir(), **options})


Maker = Any
MAKERS: dict[str, tuple[Maker, Any]] = {
    "EMPO": (
        lambda **o: EMPO(**{"policy": "TablePolicy", "env": gate(), "device": "cpu", **o}),
        (EMPO, TrainingConfig, Theory),
    ),
    "HumanDQN": (
        lambda **o: HumanDQN(**{"policy": "TablePolicy", "env": gate(), "device": "cpu", **o}),
        (HumanDQN, HumanTraining, Theory, OFF_POLICY),
    ),
    "TrainingConfig": (TrainingConfig, (TrainingConfig,)),
    "HumanTraining": (HumanTraining, (HumanTraining,)),
    "RecurrentPPO": (lambda **o: RecurrentPPO(**{"policy": "MlpGruPolicy", "env": Side(), **SEQUENCES, **o}), (RecurrentPPO,)),
    "RecurrentPolicy": (_sequence_policy, (OWN_KEYWORDS,)),
    "Attention": (lambda **o: Attention(**{"input_size": 4, "hidden_size": 8, **o}), ({"context", "n_heads"},)),
    "DPPO": (
        lambda **o: DPPO(
            **{
                "policy": "DiffusionPolicy",
                "env": chunks(),
                "policy_kwargs": {"horizons": HORIZONS},
                "n_steps": 8,
                "batch_size": 8,
                **o,
            }
        ),
        (DPPO, ON_POLICY_KINDS),
    ),
    "DiffusionPolicy": (lambda **o: DiffusionPolicy(**{**CHUNKS, **o}), (DiffusionPolicy, ChunkPolicy)),
    "ImplicitPolicy": (lambda **o: ImplicitPolicy(**{**CHUNKS, **SMALL, **o}), (ImplicitPolicy, ChunkPolicy)),
    "Horizons": (Horizons, (Horizons,)),
    "NoiseSchedule": (lambda **o: NoiseSchedule(**{"a": (1.0, 0.5), **o}), (NoiseSchedule,)),
    "NoiseSchedule.cosine": (lambda **o: NoiseSchedule.cosine(**{"n_levels": 3, **o}), (NoiseSchedule.cosine,)),
    "NoiseSchedule.linear": (lambda **o: NoiseSchedule.linear(**{"n_levels": 3, **o}), (NoiseSchedule.linear,)),
    "NoiseSchedule.levels": (lambda **o: NoiseSchedule.cosine(5).levels(**o), (NoiseSchedule.levels,)),
    "fit_chunks": (
        lambda **o: fit_chunks(**{"policy": chunk_policy(), "demonstrations": demonstrations(), "n_updates": 1, **o}),
        ({"n_updates", "batch_size", "learning_rate", "decay", "seed", "horizons"},),
    ),
    "Recipe": (lambda **o: Recipe(**o), (Recipe,)),
    "clone": (
        lambda **o: clone(**{"learner": actor_critic(), "demonstrations": demonstrations(), "epochs": 1, **o}),
        (Recipe, {"loss"}),
    ),
    "prefit_critic": (
        lambda **o: prefit_critic(
            **{"model": actor_critic(), "demonstrations": demonstrations(), "epochs": 1, "rounds": 1, **o}
        ),
        (Recipe, {"rounds"}),
    ),
    "record": (
        lambda **o: record(**{"policy": expert(box()), "env": box(), "n_episodes": 1, **o}),
        (record,),
    ),
    "UnfreezeFeatures": (lambda **o: UnfreezeFeatures(**{"steps": 3, **o}), (UnfreezeFeatures,)),
    "Settings": (Settings, (Settings,)),
    "WarmupStages": (lambda **o: WarmupStages(**{"stages": [(1, ["a"])], **o}), (WarmupStages,)),
    "Checkpoints": (_saved(Checkpoints), (Checkpoints,)),
    "ExactGap": (ExactGap, (ExactGap,)),
    "EmpoEvalCallback": (lambda **o: EmpoEvalCallback(**{"eval_env": gate(), **o}), (EmpoEvalCallback,)),
    "PairReplayBuffer": (
        lambda **o: PairReplayBuffer(
            **{"buffer_size": 4, "observation_space": spaces.Discrete(2), "action_space": spaces.Discrete(2), **o}
        ),
        ({"buffer_size", "n_envs"},),
    ),
    "RND": (RND, (RND,)),
    "Ensemble": (Ensemble, (Ensemble,)),
    "MCDropout": (lambda **o: MCDropout(**{"network": th.nn.Sequential(th.nn.Dropout(0.5)), **o}), (MCDropout,)),
    "VisitCounts": (lambda **o: VisitCounts(**{"n_pairs": 3, **o}), (VisitCounts,)),
    "CountedTable": (lambda **o: CountedTable(**{"num_embeddings": 2, "embedding_dim": 2, **o}), (CountedTable,)),
    "Weighing": (lambda **o: Weighing(**{"source": len, "rule": max, **o}), (Weighing,)),
}
"""By name: what makes one, and what its keywords are: a signature, a dataclass's fields, or names."""
NOT_TRIED = {"self", "env", "eval_env", "args", "options", "keywords", "kwargs", "recipe", "_init_setup_model"}
"""What is no value: the environment has checks of its own."""


def keywords_of(name: str) -> set[str]:
    """The keywords of a constructor."""
    found: set[str] = set()
    for source in MAKERS[name][1]:
        if isinstance(source, set | tuple | dict):
            found |= set(source)
        elif hasattr(source, "__dataclass_fields__"):
            found |= {field.name for field in fields(source)}
        else:
            found |= set(inspect.signature(source).parameters)
    return found - NOT_TRIED


def make(name: str, options: dict[str, Any]) -> Any:
    """Construct one."""
    return MAKERS[name][0](**options)
