"""The studies behind ``benchmarks/rates.py``, one module for each kind."""
