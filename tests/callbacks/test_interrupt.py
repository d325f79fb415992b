"""Signals are answered at once, in every stage, and even amid an operation that takes for ever."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import REPO
from ranks import Guess
from training import quiet_trainer

from trm.callbacks.interrupt import Interrupt
from trm.errors import Stopped
from trm.module import TRMModule
from trm.signals import ENDING

STUCK = """
import ctypes, os, sys
from trm.cli.main import main
from trm.module import TRMModule
def stuck(self, fresh):
    print("stuck", flush=True)
    ctypes.CDLL(None).sleep(600)  # an operation that Python cannot interrupt and that starts again
    ctypes.CDLL(None).sleep(600)
    ctypes.CDLL(None).sleep(600)
TRMModule.supervision_step = stuck
sys.exit(main())
"""


def _wait_until_handled(pid: int, signum: int) -> None:
    """Wait until no signal of that number is pending for a process."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        pending = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("ShdPnd", "SigPnd"))]
        if not any(bits >> (signum - 1) & 1 for bits in pending):
            return


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_a_run_amid_an_operation(signum: int, tmp_path: Path) -> None:
    small = ["--data.train_size=30", "--data.val_size=4", "--data.test_size=4", "--data.slots=4"]
    command = [sys.executable, "-c", STUCK, "fit", f"--config={REPO / 'configs/quickstart.yaml'}", *small]
    command += ["--trainer.enable_progress_bar=false", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        try:
            assert process.stdout.readline() == "stuck\n"
            process.send_signal(signum)
            for line in process.stderr if signum == signal.SIGINT else ():
                if line.startswith("SIGINT: the run stops after the current step"):
                    break
            else:  # nothing is printed: what arrives at once would be one signal
                _wait_until_handled(process.pid, signum)
            process.send_signal(signum)
            assert process.wait(timeout=60) == 128 + signum
        finally:
            process.kill()
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_signal_ends_an_evaluation_and_others_handle_signals_afterwards(tmp_path: Path) -> None:
    class Signalled(TRMModule):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return super().predict_step(batch, batch_idx)

        validation_step = test_step = predict_step

    before = [signal.getsignal(signum) for signum in ENDING], signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before[1])
    sizes = {"hidden_size": 16, "num_heads": 2, "multiple_of": 8, "cycles": 1, "latent_steps": 1, "puzzle_tokens": 0}
    module, data = Signalled(Guess.vocab_size, Guess.seq_len, **sizes), Guess(slots=4)
    for stage in ("validate", "test", "predict", "fit"):  # fit is stopped in its sanity check
        trainer = quiet_trainer(max_steps=3, callbacks=[Interrupt()])
        with pytest.raises(Stopped, match="SIGTERM: stopped before its end") as stopped:
            getattr(trainer, stage)(module, data)
        assert stopped.value.code == 143
        assert trainer.interrupted
        assert trainer.global_step == 0
    after = [signal.getsignal(signum) for signum in ENDING], signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before[1])
    assert after == before
