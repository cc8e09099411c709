"""PPO with memory for SB3: GRU, LSTM and attention policies, action masks, one fused pass over sequences."""

from empo_sb3.recurrent.cells import Cell
from empo_sb3.recurrent.masks import Masked
from empo_sb3.recurrent.planes import PlaneFeatures
from empo_sb3.recurrent.policies import (
    CnnAttentionPolicy,
    CnnGruPolicy,
    CnnLstmPolicy,
    MlpAttentionPolicy,
    MlpGruPolicy,
    MlpLstmPolicy,
    MultiInputAttentionPolicy,
    MultiInputGruPolicy,
    MultiInputLstmPolicy,
    RecurrentPolicy,
)
from empo_sb3.recurrent.ppo import RecurrentPPO

__all__ = [
    "Cell",
    "CnnAttentionPolicy",
    "CnnGruPolicy",
    "CnnLstmPolicy",
    "Masked",
    "MlpAttentionPolicy",
    "MlpGruPolicy",
    "MlpLstmPolicy",
    "MultiInputAttentionPolicy",
    "MultiInputGruPolicy",
    "MultiInputLstmPolicy",
    "PlaneFeatures",
    "RecurrentPPO",
    "RecurrentPolicy",
]
