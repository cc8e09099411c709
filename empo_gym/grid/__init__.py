"""Grid worlds: YAML files become worlds with compiled dynamics."""

from typing import TYPE_CHECKING

from empo_gym.util.lazy import hand_out

if TYPE_CHECKING:
    from empo_gym.grid.map.files import list_worlds
    from empo_gym.grid.map.tiles import Tile, WorldError
    from empo_gym.grid.world import GridWorld, load_world

__all__ = ["GridWorld", "Tile", "WorldError", "list_worlds", "load_world"]

__getattr__, __dir__ = hand_out(
    __name__,
    {
        "map.files": ("list_worlds",),
        "map.tiles": (
            "Tile",
            "WorldError",
        ),
        "world": (
            "GridWorld",
            "load_world",
        ),
    },
)
