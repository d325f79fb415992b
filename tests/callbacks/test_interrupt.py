"""Ctrl-C is answered at once, even amid an operation that takes for ever."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from paths import REPO

from trm.callbacks.interrupt import Interrupt

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


@pytest.mark.slow
def test_the_second_ctrl_c_ends_a_run_amid_an_operation(tmp_path: Path) -> None:
    small = ["--data.train_size=30", "--data.val_size=4", "--data.test_size=4", "--data.slots=4"]
    command = [sys.executable, "-c", STUCK, "fit", f"--config={REPO / 'configs/quickstart.yaml'}", *small]
    command += ["--trainer.enable_progress_bar=false", "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        try:
            assert process.stdout.readline() == "stuck\n"
            process.send_signal(signal.SIGINT)
            for line in process.stderr:
                if line.startswith("SIGINT: the run stops after the current step"):
                    break
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()
    assert not list(tmp_path.rglob("*.ckpt"))


def test_signals_are_left_to_others_afterwards() -> None:
    class FakeTrainer:
        is_global_zero = True

    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    callback = Interrupt()
    callback.on_fit_start(FakeTrainer(), None)
    callback.teardown(FakeTrainer(), None, "fit")
    callback.on_exception(FakeTrainer(), None, RuntimeError())  # harmless when it has stopped
    after = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(after)
    assert after == before


@pytest.mark.parametrize("signum", [signal.SIGCHLD, signal.SIGTERM])
def test_other_signals_do_not_count(signum: int, capfd: pytest.CaptureFixture[str]) -> None:
    from trm.callbacks.interrupt import _watch

    reader, writer = os.pipe()
    os.write(writer, bytes([signum] * 3))
    os.close(writer)
    _watch(reader, True)
    assert not capfd.readouterr().err
