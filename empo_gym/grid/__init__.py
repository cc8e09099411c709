"""Grid worlds: YAML files become worlds with compiled dynamics."""

from empo_gym.grid.files import list_worlds
from empo_gym.grid.tiles import Tile, WorldError
from empo_gym.grid.world import GridWorld, load_world

__all__ = ["GridWorld", "Tile", "WorldError", "list_worlds", "load_world"]
