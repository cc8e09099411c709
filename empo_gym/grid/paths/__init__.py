"""How one agent gets somewhere by itself: walking, and whatever else it can do alone."""
