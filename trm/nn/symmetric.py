"""The symmetric network: a TRM whose state has one slice per symbol and whose answers do not depend on their names.

A Sudoku with its digits renamed has the renamed solution. Here the answer y and the latent z contain a vector for each
cell *and* symbol, and the symbols share all parameters, so the network is equivariant to permutations of the symbols:
what it learns of one digit holds for all, and renaming digits is no augmentation. The recursion is that of ``TRM``.

Sources: SE-RRM (arXiv 2603.02193); DEC, which publishes 95.9 % of Sudoku-Extreme with 0.79 M parameters.

Shapes: B batch, L grid cells, P puzzle tokens, S = P + L, F symbols, w hidden size, D = F w, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from trm.errors import InputError
from trm.nn.layers import Block, Linear, rms_norm, truncated_normal_
from trm.nn.network import TRM, State


class SymbolMix(nn.Module):
    """A linear map of the mean of the other symbols."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., F, w) to (..., F, w)."""
        out: Tensor = self.linear((x.sum(-2, keepdim=True) - x) / (x.shape[-2] - 1))
        return out


class SymmetricBlock(Block):
    """One layer: mixes the tokens of each symbol, the symbols of each token, then the channels of each symbol.

    RMS norm over the channels follows each residual.
    """

    def __init__(self, hidden_size: int, *args: Any) -> None:
        super().__init__(hidden_size, *args)
        for name, layer in {"conv": self.mlp.conv, "grid_conv": self.grid_conv}.items():
            if layer is not None:
                width = layer.weight.shape[-1]
                raise InputError(f"{name} is {width}, but the network symmetric has no convolution; accepted is 0")
        self.symbol_mix = SymbolMix(hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, S, F, w) to (B, S, F, w)."""
        if self.attention is not None:
            mixed = self.attention(x.transpose(1, 2).flatten(0, 1))  # (B F, S, w)
            x = rms_norm(mixed.view(-1, x.shape[2], *mixed.shape[1:]).transpose(1, 2) + x)
        if self.token_mlp is not None:
            x = rms_norm(self.token_mlp(x.flatten(2)).view(x.shape).add_(x))
        x = rms_norm(self.symbol_mix(x).add_(x))
        return rms_norm(self.mlp(x).add_(x))


class Symmetric(TRM):
    """A TRM with a state of ``hidden_size`` channels per symbol, (B, S, F w).

    The embedding has a vector for each token that is not a symbol, one for "this symbol is given" and one for "another
    symbol is given". The logit of a symbol is read from its slice of y, the other logits from the mean over symbols.

    Raises:
        InputError: if the puzzles have fewer than two interchangeable symbols.
    """

    free = TRM.free - {"num_symbols"}
    block = SymmetricBlock

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vocab_size, hidden_size = self.tokens.weight.shape
        if self.num_symbols < 2:
            raise InputError(
                "model.network is symmetric, which needs puzzles with at least 2 interchangeable symbols, but these "
                f"have {self.num_symbols}; the network trm takes all puzzles: add --config configs/plain.yaml for its "
                "settings, or --model.network trm"
            )
        if self.num_symbols > vocab_size:
            raise InputError(
                f"num_symbols is {self.num_symbols}, but the vocabulary, of which the symbols are the last tokens, has "
                f"{vocab_size}"
            )
        self.others = vocab_size - self.num_symbols  # tokens that are not symbols
        self.tokens = nn.Embedding(self.others + 2, hidden_size)
        truncated_normal_(self.tokens.weight, hidden_size**-0.5)
        self.answer_head = Linear(hidden_size, self.others + 1)

    def initial(self, latents: Tensor | None = None) -> State:
        """Return the initial answer and latent, (F w), the same for all symbols."""
        return State(*(part.tile(self.num_symbols) for part in super().initial(latents)))

    def apply_blocks(self, blocks: nn.ModuleList, hidden: Tensor) -> Tensor:
        """Apply blocks in turn, (B, S, F w) to (B, S, F w)."""
        return super().apply_blocks(blocks, self._slices(hidden)).flatten(2)

    def embed(self, inputs: Tensor, puzzle_vectors: Tensor | None) -> Tensor:
        """Return the embedded question, (B, S, F w); puzzle vector and positions are the same for all symbols."""
        symbols = torch.arange(self.others, self.others + self.num_symbols, device=inputs.device)
        given = inputs.unsqueeze(1)  # (B, 1, L)
        seen = torch.where(given == symbols[:, None], self.others, self.others + 1)  # (B, F, L)
        seen = torch.where(given < self.others, given, seen).flatten(0, 1)
        vectors = None if puzzle_vectors is None else puzzle_vectors.repeat_interleave(self.num_symbols, dim=0)
        x = super().embed(seen, vectors)  # (B F, S, w)
        return x.view(-1, self.num_symbols, *x.shape[1:]).transpose(1, 2).flatten(2)

    def answer_logits(self, y: Tensor) -> Tensor:
        """Return the logits of an answer, (B, S, F w) to (B, L, V)."""
        logits = self.answer_head(self._slices(y[:, self.puzzle_tokens :]))  # (B, L, F, V - F + 1)
        return torch.cat((logits[..., :-1].mean(2), logits[..., -1]), dim=-1)

    def halting_logits(self, y: Tensor) -> Tensor:
        """Return the halting and the continue logit of an answer, read from its mean, (B, S, F w) to (B, 2)."""
        logits: Tensor = self.halting_head(self._slices(y).mean((1, 2)))
        return logits

    def _slices(self, hidden: Tensor) -> Tensor:
        return hidden.view(*hidden.shape[:-1], self.num_symbols, -1)
