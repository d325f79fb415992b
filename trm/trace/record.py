"""Records every update of the answer and the latent of one puzzle.

Shapes: F frames, L grid cells, P puzzle tokens, S = P + L, D hidden size, n latent steps, T cycles.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trm.data.samples import Tokens
from trm.inference.rollouts import relative_change
from trm.module import TRMModule
from trm.nn import TRM, State
from trm.nn.layers import widen
from trm.nn.losses import LOG_PROBABILITIES
from trm.nn.symmetric import Symmetric
from trm.nn.variants import HRM, TwoNetworks

INSPECTED = (TRM, TwoNetworks, HRM, Symmetric)
"""Networks whose updates are shown one by one: n of the latent, then one of the answer, T times."""


class Frame(NamedTuple):
    """The state of a puzzle after an update of the latent or of the answer."""

    step: int
    """Supervision step, from 1."""
    cycle: int
    """Cycle within the step, from 1; 0 for a network whose updates are not shown one by one."""
    update: int
    """Number of the update of the latent, from 1; 0 for an update of the answer."""
    answer: Tokens
    """Most likely token of each cell, (L,); after an update of the latent, of the answer it would lead to."""
    confidence: Tensor
    """Probability of that token, (L,)."""
    halting: float
    """Halting probability of the answer."""
    stops: bool
    """Whether the halting head would exit here at 0.5; in inference it can only after a supervision step."""
    change: float
    """Norm of the update relative to the norm of what it changed."""
    drift: tuple[float, float]
    """Coordinates of the latent along the two principal directions of all latents of the recording."""


class Recording(NamedTuple):
    """The frames, in the order in which they happened."""

    frames: list[Frame]
    explained: float
    """Share of the variance of the latents along the two directions of ``Frame.drift``."""

    @property
    def steps(self) -> list[Frame]:
        """The last frame of each supervision step, whose answer is the model's."""
        last = {frame.step: frame for frame in self.frames}
        return list(last.values())


class _Moment(NamedTuple):
    """A frame before its answer and its drift are computed."""

    place: tuple[int, int, int]
    y: Tensor
    z: Tensor
    change: float


@torch.no_grad()
def record(module: TRMModule, question: Tokens, puzzle: int, steps: int) -> Recording:
    """Take supervision steps with a puzzle, and record every update.

    The network runs unchanged while its updates are intercepted; the answers that a latent would lead to are computed
    afterwards.

    Args:
        module: the model, in evaluation mode.
        question: tokens, (L,).
        puzzle: puzzle id.
        steps: supervision steps.
    """
    core = module.core
    inputs = torch.from_numpy(question).to(module.device)[None].int()
    rows = (
        None if core.puzzle_embedding is None else core.puzzle_embedding(torch.tensor([puzzle], device=module.device))
    )
    state, moments = core.start(1), []
    for step in range(1, steps + 1):
        before, updates = state, _Listener(core)
        with updates:
            state = core.forward(state, inputs, rows).state  # not compiled: each listener would compile it again
        if type(core) in INSPECTED:
            moments += _inspect(core, step, before, updates.heard)
        else:
            moments.append(_Moment((step, 0, 0), state.y, state.z, float(relative_change(before, state))))
    drift, explained = principal_directions(torch.cat([moment.z.flatten(1) for moment in moments]))
    logits = torch.cat([core.answer_logits(moment.y) for moment in moments])  # (F, L, V)
    halt, proceed = torch.cat([widen(core.halting_logits(moment.y)) for moment in moments]).unbind(-1)  # 2 x (F,)
    stops = halt > (proceed if core.continue_loss else 0)
    confidence, answers = probabilities(logits, module.hparams["loss"]).max(-1)
    return Recording(
        [
            Frame(*moment.place, answer, sure.float().cpu(), share, stop, moment.change, (float(x), float(y)))
            for moment, answer, sure, (share, stop), (x, y) in zip(
                moments,
                answers.to(torch.uint8).cpu().numpy(),
                confidence,
                zip(halt.sigmoid().tolist(), stops.tolist(), strict=True),
                drift.tolist(),
                strict=True,
            )
        ],
        explained,
    )


def probabilities(logits: Tensor, loss: str) -> Tensor:
    """Return the probability of each token, (..., V), under the loss that the model was trained with."""
    return LOG_PROBABILITIES[loss](logits).exp()


def principal_directions(points: Tensor) -> tuple[Tensor, float]:
    """Return points (F, N) along their two principal directions, (F, 2), and the share of the variance along them."""
    centred = points.float() - points.float().mean(0)  # float32: of a large model these are gigabytes
    values, vectors = torch.linalg.eigh((centred @ centred.T).double())  # ascending
    values = values.clamp(min=0)
    count = min(2, len(values))
    places = vectors[:, -count:].flip(-1) * values[-count:].flip(-1).sqrt()
    total = float(values.sum())
    share = float(values[-count:].sum()) / total if total else 1.0
    return nn.functional.pad(places, (0, 2 - count)), share


class _Listener:
    """Context manager that collects the result of each update of the answer and the latent."""

    def __init__(self, core: TRM) -> None:
        self.core = core
        self.heard: list[Tensor] = []

    def __enter__(self) -> None:
        update = self.core.update

        def heard(old: Tensor, inputs: Tensor, blocks: nn.ModuleList | None = None) -> Tensor:
            self.heard.append(update(old, inputs, blocks))
            return self.heard[-1]

        self.core.update = heard  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        del self.core.update


def _inspect(core: TRM, step: int, before: State, updates: list[Tensor]) -> list[_Moment]:
    """Return a moment for each update of a supervision step, with the answer that each latent would lead to."""
    y, z = before
    blocks = core.answer_blocks if isinstance(core, TwoNetworks) else None
    moments, heard = [], iter(updates)
    for cycle in range(1, core.cycles + 1):
        latents = [next(heard) for _ in range(core.latent_steps)]
        sums = torch.cat([y + latent for latent in latents])
        led_to = core.update(y.repeat(len(latents), 1, 1), sums, blocks).chunk(len(latents))
        for update, (latent, answer) in enumerate(zip(latents, led_to, strict=True), 1):
            moments.append(_Moment((step, cycle, update), answer, latent, float(relative_change([z], [latent]))))
            z = latent
        answer = next(heard)
        moments.append(_Moment((step, cycle, 0), answer, z, float(relative_change([y], [answer]))))
        y = answer
    return moments
