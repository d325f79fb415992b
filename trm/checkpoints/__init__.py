"""Checkpoints: reading and writing, loading, describing, sharing, fine-tuning from, and official formats."""
