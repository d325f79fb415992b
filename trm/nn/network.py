"""The Tiny Recursive Model: one small network that refines a latent scratchpad z, then an answer y, again and again.

This is the whole model of "Less is More: Recursive Reasoning with Tiny Networks" (arXiv 2510.04871), following the
official code where it and the paper differ. It needs torch alone; slots, halting and training live above it.

Letters in shape comments: B batch, L grid cells, P puzzle tokens, S = P + L, D hidden size, V vocabulary.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trm.errors import InputError, check_range
from trm.nn.layers import Block, Linear, Rotary, truncated_normal_, widen
from trm.nn.puzzle_embedding import PuzzleEmbedding

HALT_BIAS = -5.0
"""Where the halting head starts: it halts with probability sigmoid(-5) = 0.7 %, that is, it uses all its steps."""


class State(NamedTuple):
    """What the model carries from one supervision step to the next, without gradient."""

    y: Tensor
    """Current answer, (B, S, D)."""
    z: Tensor
    """Latent scratchpad, (B, S, D); variants may have more channels, or none."""


class StepOutput(NamedTuple):
    """What one supervision step returns."""

    state: State
    """The refined answer and latent, with gradient; detach before carrying them on."""
    logits: Tensor
    """Answer logits, (B, L, V)."""
    halt: Tensor
    """Halting logit, (B,), float32 or wider: above zero the model holds its answer for solved."""
    proceed: Tensor
    """Logit of going on, (B,), likewise: the second output of the halting head, or zero where no loss trains it."""

    @property
    def done(self) -> Tensor:
        """Which puzzles the model would stop at, (B,) bool."""
        return self.halt > self.proceed


class TRM(nn.Module):
    """A Tiny Recursive Model. The defaults are those of the official ARC recipe.

    This signature is the one list of the network's arguments: ``TRMModule``, the command line and checkpoints take
    them from here. A network of one's own is a subclass that takes ``**kwargs`` for them; most override ``cycle``.

    Args:
        vocab_size: number of tokens V; token 0 is padding.
        seq_len: number of grid cells L.
        num_puzzles: puzzle ids; 0 for none.
        hidden_size: channels D of the answer y and the latent z.
        num_layers: blocks in the network.
        num_heads: attention heads of hidden_size // num_heads channels each; unused by the mlp mixer.
        expansion: width of the SwiGLUs relative to their input (times 2/3).
        multiple_of: SwiGLU widths are rounded up to a multiple of this; 256 suits GPUs, 8 a tiny model on a CPU.
        mixer: how cells see each other: by attention, or by an MLP across the cells.
        positions: how attention knows where a cell is.
        conv: width of a depthwise convolution in the SwiGLUs across channels (URM, arXiv 2512.14693: 2); 0 for none.
        puzzle_tokens: tokens P in front of the grid that hold the puzzle's vector; 0 for no puzzle embedding.
        puzzle_size: length of a puzzle's vector; 0 for the hidden size.
        cycles: T, cycles per supervision step; only the last is differentiated.
        latent_steps: n, updates of the latent per cycle.
        gradient_steps: latent updates of the last cycle that are differentiated, counted from its end; 0 for all, 1 for
            the 1-step gradient of the paper's table 1.
        continue_loss: teach the halting head what going on is worth too, by one more step without gradient, and halt
            when stopping is worth more, as in HRM; without it, halt when the halting logit exceeds zero.
        halt_bias: bias that the halting head starts with; the higher, the sooner slots halt at first.
        gradient_checkpointing: keep only what goes into each block for the backward pass, and compute the rest again
            there: less memory for about a third more time.

    Raises:
        InputError: if a value is out of its range, or the sizes do not fit together.
    """

    free: ClassVar[frozenset[str]] = frozenset(
        {"cycles", "latent_steps", "gradient_steps", "halt_bias", "gradient_checkpointing"}
    )
    """Arguments that may change without trained parameters meaning something else."""
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
        positions: Literal["rotary", "learned", "none"] = "rotary",
        conv: int = 0,
        puzzle_tokens: int = 16,
        puzzle_size: int = 0,
        cycles: int = 3,
        latent_steps: int = 4,
        gradient_steps: int = 0,
        continue_loss: bool = False,
        halt_bias: float = HALT_BIAS,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_range("model", 1, vocab_size=vocab_size, seq_len=seq_len, hidden_size=hidden_size, num_layers=num_layers)
        check_range("model", 1, num_heads=num_heads, multiple_of=multiple_of, cycles=cycles, latent_steps=latent_steps)
        check_range("model", 0, num_puzzles=num_puzzles, puzzle_tokens=puzzle_tokens, puzzle_size=puzzle_size)
        check_range("model", 0, expansion=expansion, conv=conv)
        check_range("model", 0, latent_steps, gradient_steps=gradient_steps)
        puzzle_size = puzzle_size or hidden_size
        head_size = hidden_size // num_heads
        if mixer == "attention" and (head_size == 0 or head_size % 2):
            raise InputError(
                f"hidden_size {hidden_size} over num_heads {num_heads} gives heads of {head_size} channels, but each "
                "needs an even number, at least 2"
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
        self.cycles = cycles
        self.latent_steps = latent_steps
        self.gradient_steps = gradient_steps
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
        attends = mixer == "attention" and positions == "rotary"
        rotary = Rotary(length, head_size) if attends else None
        self.blocks = nn.ModuleList(
            Block(hidden_size, length, mixer, num_heads, expansion, multiple_of, rotary, conv)
            for _ in range(num_layers)
        )
        self.register_buffer("y_init", truncated_normal_(torch.empty(hidden_size), std=1.0))
        self.register_buffer("z_init", truncated_normal_(torch.empty(hidden_size), std=1.0))

    def start(self, batch_size: int) -> State:
        """Return the state every puzzle starts from, each part (B, S, D) without memory of its own."""
        shape = (batch_size, self.length, -1)
        return State(self.y_init.to(self.dtype).expand(shape), self.z_init.to(self.dtype).expand(shape))

    def forward(self, state: State, inputs: Tensor, puzzles: Tensor | None = None) -> StepOutput:
        """Take one supervision step: T cycles, of which only the last is differentiated.

        Args:
            state: answer and latent, each (B, S, D), without gradient.
            inputs: tokens of the question, (B, L) integers.
            puzzles: puzzle ids, (B, E), from ``self.puzzle_embedding(ids)``; None without a table.
        """
        x = self.embed(inputs, puzzles)
        y, z = state
        with torch.no_grad():
            for _ in range(self.cycles - 1):
                y, z = self.cycle(x, y, z)
        y, z = self.cycle(x, y, z)
        halt, proceed = widen(self.halting_head(y[:, 0])).unbind(-1)  # 2 x (B,)
        if not self.continue_loss:
            proceed = torch.zeros_like(halt)
        return StepOutput(State(y, z), self.answer_head(y[:, self.puzzle_tokens :]), halt, proceed)

    def cycle(self, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Update the latent n times from question, answer and itself; then the answer once from the latent."""
        for step in range(self.latent_steps):
            with self.gradient(step):
                z = self.network(z + (y + x))
        return self.network(y + z), z

    def gradient(self, step: int) -> AbstractContextManager[None]:
        """Return where latent update ``step`` of a cycle takes place: without gradient, if it is an early one."""
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

    def embed(self, inputs: Tensor, puzzles: Tensor | None) -> Tensor:
        """Embed a question: puzzle vector spread over P tokens, then one token per cell, (B, S, D)."""
        x = self.tokens(inputs).to(self.dtype)  # (B, L, D)
        if puzzles is not None:
            batch, size = puzzles.shape
            hidden = x.shape[-1]
            prefix = nn.functional.pad(puzzles.to(x.dtype), (0, self.puzzle_tokens * hidden - size))
            x = torch.cat((prefix.view(batch, self.puzzle_tokens, hidden), x), dim=1)  # (B, S, D)
        if self.positions is not None:
            x = math.sqrt(0.5) * (x + self.positions.weight.to(x.dtype))
        scaled: Tensor = x * self.scale
        return scaled

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TRM":
        """Convert or move the weights; buffers move along, but stay in float32 when the weights become bfloat16.

        It would round off the steps of the puzzle embedding and the angles of far positions.
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
        """The dtype of states and activations: autocast's where autocast is on, else the weights'."""
        weight = self.tokens.weight
        if torch.is_autocast_enabled(weight.device.type):
            return torch.get_autocast_dtype(weight.device.type)
        return weight.dtype
