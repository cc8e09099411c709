"""What ``benchmarks/finetune.py`` finds out."""
