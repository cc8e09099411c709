"""Plain PPO on the humans' power, beside the robot that the theory asks for.

U_r of the exact solution is paid as a reward at every step, so an ordinary algorithm learns to leave power to the humans. It
maximizes what the theory's robot maximizes softly. What each robot is worth shows in how many humans attain their goal.

    python examples/ppo_on_power.py
"""

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from empo_gym import RobotEnv, solve_robot
from empo_sb3 import EMPO
from empo_sb3.empo.evaluation import play

WORLD = "rock_corridor"


def main(n_steps: int = 20_000, n_episodes: int = 300) -> None:
    """Train both, let both act, and print the humans' share of attained goals and the mean power."""
    plain = RobotEnv(WORLD)
    exact = solve_robot(plain.model, plain.prior, plain.theory)
    paid = RobotEnv(WORLD, reward="power", solution=exact)
    robots = {
        "random": EMPO("TablePolicy", plain, seed=0, beta_r=0.0),
        "PPO on U_r": PPO("MlpPolicy", paid, gamma=plain.theory.gamma_r, seed=0).learn(n_steps),
        "EMPO": EMPO("TablePolicy", plain, seed=0).learn(n_steps),
    }
    print("robot         goals attained   mean U_r")
    for name, robot in robots.items():
        env = DummyVecEnv([lambda: RobotEnv(WORLD)])
        env.seed(1)
        attained, power = play(robot, env, n_episodes, exact)
        print(f"{name:12}   {attained:14.3f}   {power:8.2f}")


if __name__ == "__main__":
    main()
