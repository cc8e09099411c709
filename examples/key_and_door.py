"""A robot that was never told to fetch a key fetches it and opens the door, because that gives the human more to choose from.

Nobody rewards the key or the door: the robot only raises the human's power (X_h), and most of the human's goals lie behind
the door. The script follows the exact distribution over states and prints how likely the door is open, for the robot that
empowers and for one that acts at random.

    python examples/key_and_door.py
"""

import numpy as np

from empo_cli.report import uniform_robot
from empo_gym import TabularModel, Theory, load_world, solve_humans, solve_robot
from empo_gym.plots import visits

WORLD = {
    "metadata": {
        "name": "Locked in",
        "description": "The human's closet is locked; the key lies on the robot's side of the door.",
    },
    "map": """
        We We We We We We
        We We We .. .. We
        We Ay Ly Ae .. We
        We We We Ky .. We
        We We We We We We
    """,
    "orientations": ["e", "s"],
    "max_steps": 10,
    "theory": {"beta_r": 30.0},
}


def door_is_open(model: TabularModel) -> np.ndarray:
    """(n_states,) bool: whether some door is open."""
    described = (model.world.describe(model.state(s)) for s in range(model.n_states))
    return np.array([any(thing.get("open") for thing in state["objects"] if thing["type"] == "door") for state in described])


def open_probabilities() -> dict[str, np.ndarray]:
    """Who acts -> (T + 1,) probability that the door is open at each time."""
    world = load_world(WORLD)
    model, theory = TabularModel.pack(world), Theory.from_mapping(world.theory)
    exact = solve_robot(model, solve_humans(model, theory), theory)
    is_open = door_is_open(model)
    return {
        who: visits(solution) @ is_open
        for who, solution in {"empowering robot": exact, "random robot": uniform_robot(exact)}.items()
    }


def main() -> None:
    """Print the probabilities over time."""
    probabilities = open_probabilities()
    print("probability that the door is open")
    print("   t  " + "  ".join(probabilities))
    for t, row in enumerate(zip(*probabilities.values(), strict=True)):
        print(f"{t:4}  " + "  ".join(f"{p:{len(who)}.3f}" for who, p in zip(probabilities, row, strict=True)))


if __name__ == "__main__":
    main()
