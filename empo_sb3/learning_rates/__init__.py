"""Learning rates that change while any SB3 algorithm trains; the callbacks are to be had from ``empo_sb3.callbacks``."""
