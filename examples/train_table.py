"""Learn a world with a table and watch how far it still is from the exact solution.

The three numbers are the root-mean-square error of V_h^e, the mean total variation of pi_r, and the relative error of V_r at
the start, all against the planner. They fall once the warm-up is over and beta_r has risen to its full value.

    python examples/train_table.py
"""

from empo_gym import RobotEnv
from empo_sb3 import EMPO
from empo_sb3.callbacks import ExactGap

WORLD = "rock_corridor"


def main(n_steps: int = 20_000) -> None:
    """Learn for some training steps, then print ten rows of the gap."""
    learner = EMPO("TablePolicy", RobotEnv(WORLD), seed=0)
    gap = ExactGap(every=n_steps // 10)
    learner.learn(n_steps, callback=gap)
    print("    step   V_h^e rmse   V_r at start   pi_r total variation")
    for row in gap.history:
        errors = row["v_h_e_rmse"], row["v_r_relative_at_start"], row["pi_r_total_variation"]
        print(f"{row['step']:8}   {errors[0]:10.4f}   {errors[1]:12.4f}   {errors[2]:20.4f}")


if __name__ == "__main__":
    main()
