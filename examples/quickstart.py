import gymnasium as gym

from empo_gym import solve_robot
from empo_sb3 import EMPO

env = gym.make("EMPO-Grid-v0").unwrapped  # one robot beside one human
exact = solve_robot(env.model, env.prior, env.theory)  # what the robot should do, exactly
print(exact.policy(env.world.initial_state(), t=0))  # probabilities of its actions

learner = EMPO("TablePolicy", env, seed=0)
learner.learn(20_000, progress_bar=True)
print(exact.compare(learner.solution())["v_h_e"])  # how far what was learned is from that
