"""Packaging of EMPO: three Python packages, and the worlds of ``envs/`` beside them as data."""

from pathlib import Path

from setuptools import find_packages, setup

ZOO = ["rl_zoo3>=2.9,<3", "requests", "pandas", "seaborn", "tensorboard"]
PLOTS = ["matplotlib>=3.8", "pillow>=10"]
PETTINGZOO = ["pettingzoo>=1.24"]
FRANKA = ["mujoco>=3.4,<5"]
MINARI = ["minari[hdf5]>=0.5,<0.6"]
OPTIM = ["pytorch_optimizer>=3", "dog-optimizer"]
DEV = [
    "pytest>=8",
    "pytest-xdist",
    "hypothesis>=6.100",
    "ruff>=0.9",
    "mypy>=1.11",
    "types-PyYAML",
    "pandas",
    "tensorboard",
    "setuptools>=71",
]
# What the planner's tests compare it with; Storm's license (GPL) keeps it out of everything else.
ORACLES = ["quantecon>=0.7", "stormpy>=2"]

setup(
    name="empo",
    version="0.1.0",
    description="Robots that softly maximize the long-term power of the humans around them: exact planner and SB3 learner",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # Worlds and zoo files are data: a wheel carries them as empo_envs and empo_zoo_configs, which nobody imports.
    packages=[*find_packages(include=["empo_*"]), "empo_envs", "empo_zoo_configs"],
    package_dir={"empo_envs": "envs", "empo_zoo_configs": "zoo_configs"},
    package_data={
        "empo_envs": ["**/*.yaml"],
        "empo_zoo_configs": ["*.yml"],
        "empo_gym": ["py.typed"],
        "empo_sb3": ["py.typed"],
        "empo_cli": ["py.typed", "worlds.json"],
    },
    install_requires=[
        "numpy>=1.26,<3",
        "scipy>=1.11",
        "numba>=0.60,<0.69",  # its caches and counting of references are no public interface: tested with 0.68
        "pyyaml>=6",
        "gymnasium>=1.1,<2",
        "minigrid>=3.0,<4",
        "torch>=2.3",
        "stable-baselines3>=2.8,<3",
        "sb3-contrib>=2.8,<3",
        "tqdm",
        "rich",
    ],
    extras_require={
        "zoo": ZOO,
        "plots": PLOTS,
        "pettingzoo": PETTINGZOO,
        "franka": FRANKA,
        "minari": MINARI,
        "optim": OPTIM,
        "oracles": ORACLES,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["empo = empo_cli.main:main"]},
    classifiers=[
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Intended Audience :: Science/Research",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
