"""The command ``trm zoo``: the trained models that come with the package."""

import json as json_format

from trm.zoo import card, names


def zoo(name: str = "", /, *, json: bool = False) -> int:
    """List the trained models that come with the package, or print the card of one.

    A name is accepted wherever a checkpoint is, as in: trm solve NAME BOARD. So are folders that trm export --format
    hub writes, and models on the Hugging Face hub, hf:OWNER/NAME or hf:OWNER/NAME@REVISION. The first use of one
    downloads it, and records its commit and the SHA-256 of its files; later uses check them, and need no network.

    Args:
        name: model whose card to print; without it, all of the package are listed.
        json: print one JSON object, which maps names to lines, or the name to its card.
    """
    if name:
        found = {name: card(name)}
        print(json_format.dumps(found) if json else found[name], end="\n" if json else "")
        return 0
    lines = {name: card(name).splitlines()[2] for name in names()}
    if json:
        print(json_format.dumps(lines))
        return 0
    width = max(map(len, lines))
    print("\n".join(f"{name:<{width}}  {line}" for name, line in lines.items()))
    return 0
