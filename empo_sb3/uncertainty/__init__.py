"""How little is known of a state: sources with one shape, ``update(states)`` and ``source(states) -> uncertainty``."""

from empo_sb3.uncertainty.counts import VisitCounts
from empo_sb3.uncertainty.dropout import MCDropout
from empo_sb3.uncertainty.ensemble import Ensemble
from empo_sb3.uncertainty.rnd import RND
from empo_sb3.uncertainty.table_counts import CountedTable, require_plain_sgd
from empo_sb3.uncertainty.weighing import Source, Weighing

__all__ = ["RND", "CountedTable", "Ensemble", "MCDropout", "Source", "VisitCounts", "Weighing", "require_plain_sgd"]
