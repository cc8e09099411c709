r"""Where the finger is for given joint angles, and which joint angles bring it to a given place.

With the position and orientation error :math:`e` (6 numbers) and the tip's Jacobian :math:`J` (6 x 7), one step of damped
least squares is :math:`\Delta q = J^\top (J J^\top + \lambda^2 I)^{-1} e`: Gauss-Newton where the arm is well placed, bounded
steps near singular postures. Seven joints solve for six numbers; the one that is left over is spent on staying near a resting
posture :math:`q_0`, through the projection :math:`(I - J^\top (J J^\top + \lambda^2 I)^{-1} J)(q_0 - q)`. Angles are
clipped to the joint limits after every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from empo_gym.franka.graphics import mujoco

DAMPING = 0.02
REST_GAIN = 0.03
MAX_STEP = 0.35  # rad per iteration: the linearization is good for less than half a radian


class ArmKinematics:
    """Forward and inverse kinematics of one site moved by some joints of a model, on a scratch copy of the state.

    :param model: the compiled ``mujoco.MjModel``
    :param joints: names of the hinge joints, base first
    :param site: name of the site that is placed
    :param rest: resting posture in rad, one angle per joint
    """

    def __init__(self, model, joints: Sequence[str], site: str, rest: Sequence[float]):
        self._model = model
        self._data = mujoco.MjData(model)
        numbers = [model.joint(name).id for name in joints]
        self.qpos = np.array([model.jnt_qposadr[i] for i in numbers])
        self.dofs = np.array([model.jnt_dofadr[i] for i in numbers])
        self.low, self.high = model.jnt_range[numbers].T.copy()
        self.rest = np.clip(np.asarray(rest, float), self.low, self.high)
        self._site = model.site(site).id
        self._jacobian = np.zeros((6, model.nv))

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) in metres and rotation matrix (3, 3) of the site at joint angles ``q`` (n_joints,)."""
        self._data.qpos[self.qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        return self._data.site_xpos[self._site].copy(), self._data.site_xmat[self._site].reshape(3, 3).copy()

    def inverse(
        self, position: np.ndarray, rotation: np.ndarray, start: ArrayLike, iterations: int = 30, tolerance: float = 1e-4
    ) -> np.ndarray:
        """Joint angles (n_joints,) within their limits that bring the site to a pose, or as near as they can.

        :param position: (3,) in metres
        :param rotation: (3, 3)
        :param start: angles from which to search
        :param iterations: at most so many steps
        :param tolerance: metres and radians at which to stop
        """
        q = np.clip(np.asarray(start, float), self.low, self.high)
        for _ in range(iterations):
            place, turn = self.forward(q)
            error = np.concatenate([position - place, rotation_vector(rotation @ turn.T)])
            if np.abs(error).max() < tolerance:
                break
            q = np.clip(q + self._step(error, q), self.low, self.high)
        return q

    def _step(self, error: np.ndarray, q: np.ndarray) -> np.ndarray:
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian[:, self.dofs]
        damped = jacobian @ jacobian.T
        damped[np.diag_indices(6)] += DAMPING**2
        rest = REST_GAIN * (self.rest - q)
        step = rest + jacobian.T @ np.linalg.solve(damped, error - jacobian @ rest)
        return step * min(1.0, MAX_STEP / max(np.abs(step).max(), 1e-12))


def rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """Axis times angle (3,) in rad of a rotation matrix (3, 3).

    Near half a turn the axis is badly determined; the inverse kinematics only needs a direction that shortens the way.
    """
    axis = 0.5 * np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]])
    sine, cosine = np.linalg.norm(axis), 0.5 * (np.trace(matrix) - 1.0)
    if sine < 1e-9:
        return axis if cosine > 0 else np.array([np.pi, 0.0, 0.0])
    return axis * (np.arctan2(sine, cosine) / sine)
