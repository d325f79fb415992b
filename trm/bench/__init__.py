"""Measurements: how fast a configuration trains, solves and reads its data."""

from trm.bench.command import BenchTrainer as BenchTrainer
from trm.bench.command import trainer_arguments as trainer_arguments
