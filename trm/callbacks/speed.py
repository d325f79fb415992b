"""``Speed``: the speed and the cost of training."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from trm.callbacks.requirements import need_module
from trm.nn.flops import count_flops


class Speed(Callback):
    """Logs the speed of training, and adds up its cost.

    ``speed/steps_per_second`` and ``speed/puzzles_per_second`` are means since the last log; a puzzle counts once per
    supervision step that it takes. The cost is logged with each validation, and saved in checkpoints: ``cost/tflop``,
    the operations of a training step by ``count_flops``, and ``cost/core_seconds``, the CPU time
    of the process, or, on other devices, ``cost/device_seconds``, the wall time. Costs are multiplied by the number of
    processes, and include neither validations nor the workers of the loader.
    """

    def __init__(self) -> None:
        self.cost = {"core_seconds": 0.0, "device_seconds": 0.0, "tflop": 0.0}
        self._since, self._step = 0.0, 0  # of the last log
        self._operations = 0  # per slot, since the costs were added up

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to count the operations of every step."""
        module = need_module(self, pl_module)
        core = module.core
        counted: dict[tuple[int, int], int] = {}

        def count(*_: Any) -> None:
            depth = core.cycles, core.latent_steps  # a curriculum may change them
            if depth not in counted:
                counted[depth] = count_flops(core, 1).training(core)
            self._operations += counted[depth]

        self._handle = trainer.optimizers[0].register_step_pre_hook(count)
        self._start_clocks(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop counting."""
        self._handle.remove()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exclude the time between two epochs."""
        self._start_costs(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the costs of the batch, and log the speed when the other values are logged."""
        slots = need_module(self, pl_module).slots
        running = 0 if slots is None else len(slots.halted) * trainer.world_size
        self.cost["tflop"] += self._operations * running / 1e12
        self.cost[self._unit] += (self._clock() - self._paid) * trainer.world_size
        self._start_costs(pl_module)
        every, batches = trainer.log_every_n_steps, trainer.fit_loop.total_batch_idx + 1  # type: ignore[attr-defined]
        if not every or batches % every:
            return
        now, steps = time.perf_counter(), trainer.global_step - self._step
        speed = steps / (now - self._since)
        pl_module.log_dict({"speed/steps_per_second": speed, "speed/puzzles_per_second": speed * running})
        self._since, self._step = now, trainer.global_step

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the cost of training so far, unless the validation was cut short."""
        if trainer.state.fn == "fit" and not need_module(self, pl_module).stop_requested:
            costs = {f"cost/{name}": cost for name, cost in self.cost.items() if cost}
            pl_module.log_dict(costs, sync_dist=trainer.world_size > 1)  # each rank estimates the cost of all

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clocks, to exclude the validation."""
        if trainer.state.fn == "fit":
            self._start_clocks(trainer, pl_module)

    def _start_clocks(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since, self._step = time.perf_counter(), trainer.global_step
        self._start_costs(pl_module)

    def _start_costs(self, pl_module: LightningModule) -> None:
        on_cpu = pl_module.device.type == "cpu"
        self._unit = "core_seconds" if on_cpu else "device_seconds"
        self._clock = time.process_time if on_cpu else time.perf_counter
        self._paid, self._operations = self._clock(), 0

    def state_dict(self) -> dict[str, float]:
        """Return the costs so far: ``core_seconds``, ``device_seconds`` and ``tflop``."""
        return dict(self.cost)

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Restore the costs of a checkpoint; one written before they were counted has none."""
        self.cost |= state_dict
