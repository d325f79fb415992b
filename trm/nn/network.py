"""The Tiny Recursive Model: one small network that refines a latent z and an answer y recursively.

This is the whole model of "Less is More: Recursive Reasoning with Tiny Networks" (arXiv 2510.04871). Where the paper
and the official code differ, it follows the code. Slots, early exit and training are in the packages above this one.

Shapes: B batch, L grid cells, P puzzle tokens, S = P + L, D hidden size, E size of a puzzle vector, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trm.errors import InputError, check_range, counted
from trm.nn.layers import GRID_BASE, Block, Linear, Rotary, grid_coordinates, truncated_normal_, widen
from trm.nn.puzzle_embedding import PuzzleEmbedding

HALT_BIAS = -5.0
"""Initial bias of the halting head: the halting probability is sigmoid(-5) = 0.7 %, so slots first use all steps."""
MOST_REPEATS = 1000
"""Most layers, cycles and latent steps; with more, a damaged checkpoint or a typing error would compute for hours."""
MOST_PARAMETERS = 2**30
"""Most parameters of the SwiGLUs, 200 times those of the paper; they are checked before any memory is allocated."""


class State(NamedTuple):
    """The state that passes from one supervision step to the next, without gradient."""

    y: Tensor
    """Current answer, (B, S, D)."""
    z: Tensor
    """Latent, (B, S, D); variants may have another number of channels, or none. Slots keep all K, (B, K, S, D)."""


class StepOutput(NamedTuple):
    """Output of a supervision step."""

    state: State
    """The refined answer and latent, with gradient; to be detached before the next step."""
    logits: Tensor
    """Answer logits, (B, L, V)."""
    halt: Tensor
    """Halting logit, (B,), float32 or wider: its sigmoid is the predicted probability that the answer is right."""
    proceed: Tensor
    """Continue logit, (B,), float32 or wider: second output of the halting head; zero without ``continue_loss``."""

    @property
    def done(self) -> Tensor:
        """Whether the halting logit exceeds the continue logit, (B,) bool."""
        return self.halt > self.proceed


class TRM(nn.Module):
    """A Tiny Recursive Model. The defaults are those of the official ARC recipe.

    This signature is the only list of the network's arguments: ``TRMModule``, the command line and checkpoints read
    it. A network of your own is a subclass that accepts them as ``**kwargs``; most subclasses override ``cycle``.

    Args:
        vocab_size: number of tokens V; token 0 is padding.
        seq_len: number of grid cells L.
        num_puzzles: number of puzzle ids; 0 for no puzzle embedding.
        hidden_size: number of channels D of the answer y and the latent z.
        num_layers: number of blocks in the network.
        num_heads: number of attention heads, each with hidden_size // num_heads channels; unused by the mlp mixer.
        expansion: expansion factor of the SwiGLUs, whose width is 2/3 of this times the width of their input.
        multiple_of: SwiGLU widths are rounded up to a multiple of this; 256 (official) suits GPUs, 8 a tiny CPU model.
        mixer: operation that mixes the cells: attention, or mlp (a SwiGLU across the cells, for small grids).
        positions: position encoding: rotary (along the sequence) or grid (rotary along the rows, columns and boxes of
            the grid), both for attention only; learned (a vector added to each token) or none.
        conv: width of a depthwise convolution in the SwiGLUs across channels; 0 for none, 2 in URM (arXiv 2512.14693).
        grid_conv: width, an odd number, of a convolution over rows and columns that is added to what the mixer gives; 0
            for none (official), 3 in the recurrent networks of arXiv 2202.05826.
        gating: gate of the SwiGLUs: silu, or normalised, in which the product is normalised (SIC, arXiv 2601.19085).
        puzzle_tokens: number of tokens P before the grid that contain the puzzle embedding; 0 for no puzzle embedding.
        puzzle_size: size E of a puzzle embedding vector; null for hidden_size.
        cycles: cycles per supervision step (T in the paper); only the last is differentiated.
        latent_steps: updates of the latent per cycle (n in the paper).
        gradient_steps: number of latent updates at the end of the last cycle that are differentiated; null for all, 1
            for the 1-step gradient in table 1 of the paper.
        damping: share of its old value that the answer or the latent keeps in each update; 0 for none (official),
            0.05 in EqR (arXiv 2605.21488).
        pass_noise: standard deviation of Gaussian noise added in each update in training; 0 for none, 0.01 in EqR.
        latents: number K of latents of a puzzle, each with an initial state of its own. A training step takes all K
            from one answer, differentiates the one with the least answer loss, and keeps its answer (winner takes all
            of SIC, arXiv 2601.19085); it costs K more forward passes. An evaluation uses the first latent, ``trm solve
            --breadth K --select first`` all. 1 for a single latent (official).
        continue_loss: train a second output of the halting head, the continue logit, by Q-learning as in HRM; it costs
            one more supervision step without gradient. A slot then halts when the halting logit is the greater one.
            By default a slot halts when the halting logit exceeds zero.
        halt_bias: initial bias of the halting head; with a higher value slots halt earlier at the start of training.
        gradient_checkpointing: save only the input of each block for the backward pass and recompute the rest: less
            memory for about a third more time.
        num_symbols: number of interchangeable symbols: the last tokens of the vocabulary; only the network symmetric
            uses it.
        grid: rows and columns of the grid and, if it consists of boxes, rows and columns of a box; empty for a square
            without boxes. Only the position encoding grid and ``grid_conv`` use it.

    Raises:
        InputError: if a value is out of its range or the sizes do not match.
    """

    free: ClassVar[frozenset[str]] = frozenset(
        {
            *("num_symbols", "grid", "cycles", "latent_steps", "gradient_steps", "damping", "pass_noise"),
            *("halt_bias", "gradient_checkpointing"),
        }
    )
    """Arguments that may differ from a checkpoint's: trained parameters keep their meaning."""
    most_latents: ClassVar[int] = 64
    """Greatest number of latents; 1 for a network without a latent that could be chosen."""
    block: ClassVar[Callable[..., nn.Module]] = Block
    """Class of the blocks; it takes the arguments of ``Block``."""
    y_init: Tensor
    z_init: Tensor

    def __init__(
        self,
        vocab_size: int,
        seq_len: int,
        num_puzzles: int = 0,
        hidden_size: int = 512,
        num_layers: int = 2,
        num_heads: int = 8,
        expansion: float = 4.0,
        multiple_of: int = 256,
        mixer: Literal["attention", "mlp"] = "attention",
        positions: Literal["rotary", "grid", "learned", "none"] = "rotary",
        conv: int = 0,
        grid_conv: int = 0,
        gating: Literal["silu", "normalised"] = "silu",
        puzzle_tokens: int = 16,
        puzzle_size: int | None = None,
        cycles: int = 3,
        latent_steps: int = 4,
        gradient_steps: int | None = None,
        damping: float = 0.0,
        pass_noise: float = 0.0,
        latents: int = 1,
        continue_loss: bool = False,
        halt_bias: float = HALT_BIAS,
        gradient_checkpointing: bool = False,
        num_symbols: int = 0,
        grid: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_range("model", 1, vocab_size=vocab_size, seq_len=seq_len, hidden_size=hidden_size)
        check_range("model", 1, num_heads=num_heads, multiple_of=multiple_of)
        check_range("model", 1, MOST_REPEATS, num_layers=num_layers, cycles=cycles, latent_steps=latent_steps)
        check_range("model", 0, num_puzzles=num_puzzles, puzzle_tokens=puzzle_tokens, puzzle_size=puzzle_size)
        check_range("model", 0, expansion=expansion, conv=conv, grid_conv=grid_conv, pass_noise=pass_noise)
        check_range("model", 0, 1, damping=damping)
        if grid_conv and grid_conv % 2 == 0:
            raise InputError(f"model.grid_conv is {grid_conv}, but must be an odd number, or 0 for no convolution")
        check_range("model", 1, TRM.most_latents, latents=latents)
        if latents > self.most_latents:
            raise InputError(
                f"model.latents is {latents}, but the network {type(self).__name__} has no latents to choose from; "
                "accepted is 1"
            )
        check_range("model", 0, latent_steps, gradient_steps=gradient_steps)  # 0 is null in older checkpoints
        least = num_layers * 2 * expansion * hidden_size**2  # of the SwiGLUs alone
        if least > MOST_PARAMETERS:
            raise InputError(
                f"model.hidden_size {hidden_size}, model.num_layers {num_layers} and model.expansion {expansion} make "
                f"{least:,.0f} parameters or more; accepted are at most {MOST_PARAMETERS:,}"
            )
        puzzle_size = puzzle_size or hidden_size
        head_size = hidden_size // num_heads
        if mixer == "attention" and (head_size == 0 or head_size % 2):
            raise InputError(
                f"hidden_size {hidden_size} over num_heads {num_heads} gives heads of "
                f"{counted(head_size, 'channel')}, but each needs an even number, at least 2"
            )
        if not (num_puzzles and puzzle_tokens):
            num_puzzles = puzzle_tokens = 0
        if num_puzzles and puzzle_size > puzzle_tokens * hidden_size:
            raise InputError(
                f"puzzle_size {puzzle_size} does not fit in puzzle_tokens {puzzle_tokens} x hidden_size {hidden_size}"
            )
        length = puzzle_tokens + seq_len
        self.length = length
        self.puzzle_tokens = puzzle_tokens
        self.num_symbols = num_symbols
        self.cycles = cycles
        self.latent_steps = latent_steps
        self.gradient_steps = gradient_steps or None
        self.damping = damping
        self.pass_noise = pass_noise
        self.latents = latents
        self.continue_loss = continue_loss
        self.gradient_checkpointing = gradient_checkpointing
        self.scale = math.sqrt(hidden_size)

        std = hidden_size**-0.5
        self.tokens = nn.Embedding(vocab_size, hidden_size)
        truncated_normal_(self.tokens.weight, std)
        self.answer_head = Linear(hidden_size, vocab_size)
        self.halting_head = nn.Linear(hidden_size, 2)
        nn.init.zeros_(self.halting_head.weight)
        nn.init.constant_(self.halting_head.bias, halt_bias)
        self.puzzle_embedding = PuzzleEmbedding(num_puzzles, puzzle_size) if num_puzzles else None
        self.positions = None
        if positions == "learned":
            self.positions = nn.Embedding(length, hidden_size)
            truncated_normal_(self.positions.weight, std)
        uses_grid = grid_conv > 0 or (mixer == "attention" and positions == "grid")
        grid = _checked_grid(grid, seq_len, "grid_conv" if grid_conv else "positions grid") if uses_grid else ()
        rotary = self._rotary(positions, grid, head_size) if mixer == "attention" else None
        normalised = gating == "normalised"
        sizes = hidden_size, length, mixer, num_heads, expansion, multiple_of, rotary, conv, normalised, grid_conv, grid
        self.blocks = nn.ModuleList(self.block(*sizes) for _ in range(num_layers))
        self.register_buffer("y_init", truncated_normal_(torch.empty(hidden_size), std=1.0))
        shape = (hidden_size,) if latents == 1 else (latents, hidden_size)
        self.register_buffer("z_init", truncated_normal_(torch.empty(shape), std=1.0))

    def _rotary(self, positions: str, grid: Sequence[int], head_size: int) -> Rotary | None:
        if positions == "rotary":
            return Rotary(torch.arange(self.length), head_size)
        if positions != "grid":
            return None
        coordinates = grid_coordinates(grid, self.puzzle_tokens)
        if head_size < 2 * coordinates.shape[1]:
            raise InputError(
                f"a head has {counted(head_size, 'channel')} (hidden_size over num_heads), but positions grid needs "
                f"2 for each of the {coordinates.shape[1]} coordinates of a cell"
            )
        return Rotary(coordinates, head_size, GRID_BASE)

    def start(self, batch_size: int, latents: Tensor | None = None) -> State:
        """Return the initial state of every puzzle; each part is a view, (B, S, D).

        Args:
            batch_size: number of puzzles B.
            latents: number of the latent that each puzzle starts with, from 0, (B,); None for the first of them.
        """
        shape = (batch_size, self.length, -1)
        return State(*(part.to(self.dtype).expand(shape) for part in self.initial(latents)))

    def initial(self, latents: Tensor | None = None) -> State:
        """Return the initial answer, (D,), and latent, (D,), or (B, 1, D) for ``latents`` of K, (B,)."""
        if self.latents == 1:
            return State(self.y_init, self.z_init)
        return State(self.y_init, self.z_init[0] if latents is None else self.z_init[latents].unsqueeze(1))

    def forward(self, state: State, inputs: Tensor, puzzle_vectors: Tensor | None = None) -> StepOutput:
        """Take one supervision step: T cycles; only the last is differentiated.

        Args:
            state: answer and latent, each (B, S, D), without gradient.
            inputs: tokens of the question, (B, L) integers.
            puzzle_vectors: ``self.puzzle_embedding(puzzle_ids)``, (B, E); None without a puzzle embedding.
        """
        x = self.embed(inputs, puzzle_vectors)
        y, z = state
        with torch.no_grad():
            for _ in range(self.cycles - 1):
                y, z = self.cycle(x, y, z)
        y, z = self.cycle(x, y, z)
        halt, proceed = widen(self.halting_logits(y)).unbind(-1)  # 2 x (B,)
        if not self.continue_loss:
            proceed = torch.zeros_like(halt)
        return StepOutput(State(y, z), self.answer_logits(y), halt, proceed)

    def answer_logits(self, y: Tensor) -> Tensor:
        """Return the logits of an answer, (B, S, D) to (B, L, V)."""
        logits: Tensor = self.answer_head(y[:, self.puzzle_tokens :])
        return logits

    def halting_logits(self, y: Tensor) -> Tensor:
        """Return the halting and the continue logit of an answer, (B, S, D) to (B, 2); they are read at one token."""
        logits: Tensor = self.halting_head(y[:, 0])
        return logits

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the latent n times from the question, the answer and itself; then the answer once from the latent."""
        for step in range(self.latent_steps):
            with self.gradient(step):
                z = self.update(z, z + (y + x))
        return self.update(y, y + z), z

    def update(self, old: Tensor, inputs: Tensor, blocks: nn.ModuleList | None = None) -> Tensor:
        """Return the new value of the answer or the latent, (B, S, D): what the blocks make of ``inputs``.

        Args:
            old: its old value, of which ``damping`` keeps a share.
            inputs: the sum of all that the new value depends on.
            blocks: the blocks to apply; None for those of the network.
        """
        new = self.network(inputs) if blocks is None else self.apply_blocks(blocks, inputs)
        if self.damping:
            new = torch.lerp(new, old, self.damping)
        if self.pass_noise and self.training:
            new = new + self.pass_noise * torch.randn_like(new)
        return new

    def gradient(self, step: int) -> AbstractContextManager[None]:
        """Return the context of latent update ``step`` of a cycle; the last ``gradient_steps`` are differentiated."""
        early = self.gradient_steps and step < self.latent_steps - self.gradient_steps
        return torch.no_grad() if early else nullcontext()

    def network(self, hidden: Tensor) -> Tensor:
        """Apply the blocks, (B, S, D) to (B, S, D)."""
        return self.apply_blocks(self.blocks, hidden)

    def apply_blocks(self, blocks: nn.ModuleList, hidden: Tensor) -> Tensor:
        """Apply blocks in turn, (B, S, D) to (B, S, D)."""
        recompute = self.gradient_checkpointing and torch.is_grad_enabled()
        for block in blocks:
            apply = partial(checkpoint, block, use_reentrant=False, preserve_rng_state=False) if recompute else block
            hidden = apply(hidden)
        return hidden

    def embed(self, inputs: Tensor, puzzle_vectors: Tensor | None) -> Tensor:
        """Return the embedded question: P tokens of the puzzle vector, then one token per cell, (B, S, D)."""
        x = self.tokens(inputs).to(self.dtype)  # (B, L, D)
        if puzzle_vectors is not None:
            batch, size = puzzle_vectors.shape
            hidden = x.shape[-1]
            prefix = nn.functional.pad(puzzle_vectors.to(x.dtype), (0, self.puzzle_tokens * hidden - size))
            x = torch.cat((prefix.view(batch, self.puzzle_tokens, hidden), x), dim=1)  # (B, S, D)
        if self.positions is not None:
            x = math.sqrt(0.5) * (x + self.positions.weight.to(x.dtype))
        scaled: Tensor = x * self.scale
        return scaled

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TRM":
        """Convert or move the parameters; buffers are moved too, but stay in float32 when parameters become bfloat16.

        bfloat16 would round off updates of the puzzle embedding and the angles of distant positions.
        """
        wide = dict(self.named_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in self.named_buffers():
            if buffer.is_floating_point() and buffer.itemsize < 4:
                owner, _, leaf = name.rpartition(".")
                setattr(self.get_submodule(owner), leaf, wide[name].to(buffer.device))
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of states and activations: that of autocast if it is active, else that of the parameters."""
        weight = self.tokens.weight
        if torch.is_autocast_enabled(weight.device.type):
            return torch.get_autocast_dtype(weight.device.type)
        return weight.dtype


def _checked_grid(grid: Sequence[int], seq_len: int, user: str) -> tuple[int, ...]:
    """Return the rows and columns of a grid, and those of its boxes; by default it is a square without boxes.

    Raises:
        InputError: if it has another number of cells than ``seq_len``; the message names its user.
    """
    grid = tuple(grid) or (math.isqrt(seq_len),) * 2
    if len(grid) not in (2, 4) or grid[0] * grid[1] != seq_len or min(grid) < 1:
        raise InputError(
            f"grid is {list(grid)}, but {user} needs rows x columns = {seq_len} cells, and rows and columns of a box "
            "if the grid has boxes"
        )
    return grid
