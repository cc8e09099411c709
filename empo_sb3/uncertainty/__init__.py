"""How little is known of a (t, state) pair: sources with one shape, ``update(pairs)`` and ``source(pairs) -> uncertainty``."""

from empo_sb3.uncertainty.counts import VisitCounts

__all__ = ["VisitCounts"]
