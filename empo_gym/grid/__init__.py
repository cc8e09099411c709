"""Grid worlds: YAML files become worlds with compiled dynamics."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.grid.map.files import list_worlds as list_worlds
    from empo_gym.grid.map.tiles import Tile as Tile
    from empo_gym.grid.map.tiles import WorldError as WorldError
    from empo_gym.grid.world import GridWorld as GridWorld
    from empo_gym.grid.world import load_world as load_world

__getattr__, __dir__, __all__ = hand_out(__name__, __file__)
