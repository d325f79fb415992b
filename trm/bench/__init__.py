"""Measurements: operations of a step, and how fast a configuration trains, solves and reads its data."""

from trm.bench.command import BenchTrainer as BenchTrainer
from trm.bench.command import trainer_arguments as trainer_arguments
from trm.flops import StepFlops as StepFlops
from trm.flops import count_flops as count_flops
