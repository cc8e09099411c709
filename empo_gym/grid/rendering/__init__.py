"""Pictures and text of a state, for people."""
