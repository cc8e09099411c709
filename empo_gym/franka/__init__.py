"""``FR3VisualReach-v0`` and ``FR3VisualPush-v0``: a simulated Franka FR3 that sees its task through a camera only.

Needs the extra ``franka`` (MuJoCo); nothing else of EMPO imports this package. The arm has the FR3's kinematic chain and joint
limits with simplified shape and inertia (see ``arm``), so results here are about learning from pictures, not about the FR3's
dynamics; whoever has a detailed model passes its file as ``mjcf_path=``.
"""

from empo_gym.franka.env import FR3VisualEnv
from empo_gym.franka.graphics import GraphicsError, graphics_problem
from empo_gym.franka.shift import SHIFTS, Shift
from empo_gym.franka.tasks import FR3VisualPush, FR3VisualReach

__all__ = ["SHIFTS", "FR3VisualEnv", "FR3VisualPush", "FR3VisualReach", "GraphicsError", "Shift", "graphics_problem"]
