"""The studies of ``benchmarks/recurrent.py``."""
