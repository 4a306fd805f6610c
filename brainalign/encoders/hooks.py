"""How are hidden states read out of a model, and nothing of it changed? Hooks that always leave.

A hook sits on the block itself: what a library calls "hidden states" may mean something else
in its next release (the last entry of a stable-layer-norm model did). As soon as every site
has been seen the forward pass is stopped, so that blocks above the highest wanted one cost
nothing; the model itself is never cut.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Site:
    """A place in a model: what goes into a module, or what comes out of it.

    Parameters
    ----------
    module
        The module to listen to.
    end
        ``"input"`` for its first argument, ``"output"`` for what it returns.
    part
        Which of them, where it returns several.
    """

    module: nn.Module
    end: Literal["input", "output"] = "output"
    part: int = 0


class _AllSeen(Exception):
    """A signal, not an error: raised inside a hook to stop a forward pass that has nothing more to give."""


@contextmanager
def captured(sites: Mapping[Key, Site], *, stop: bool = True) -> Iterator[dict[Key, Tensor]]:
    """Capture tensors at some sites while the body runs the model.

    Parameters
    ----------
    sites
        Where to listen, by a number or name of the caller's choice.
    stop
        Leave the body as soon as every site has been seen once.

    Yields
    ------
    dict
        Filled by the forward pass: number or name -> tensor, detached, in the model's own shape.

    Notes
    -----
    The hooks are removed however the body ends. They hear only the thread that set them, so
    that two threads may share a model.
    """
    found: dict[Key, Tensor] = {}
    signal = _AllSeen()

    handles: list[RemovableHandle] = []
    try:
        for key, site in sites.items():
            keep = partial(_keep, found, key, site.part, limit=len(sites) if stop else None, signal=signal)
            handles.append(_listen(site, keep))
        yield found
    except _AllSeen as seen:
        # Another capture around this one stops the pass with a signal of its own.
        if seen is not signal:
            raise
        # Its traceback holds the pass and all that was in it until the garbage collector comes by.
        signal.with_traceback(None)
    finally:
        for handle in handles:
            handle.remove()


def _keep(found: dict[Key, Tensor], key: Key, part: int, value: Any, *, limit: int | None, signal: _AllSeen) -> None:
    """Note what a site gave (one of several outputs), and stop the pass after the last one."""
    tensor = value if isinstance(value, Tensor) else value[part]
    found[key] = tensor.detach()
    if len(found) == limit:
        raise signal


def _listen(site: Site, keep: Callable[[Any], None]) -> RemovableHandle:
    owner = threading.get_ident()

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() == owner:
            keep(args[0] if args else kwargs["hidden_states"])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() == owner:
            keep(output)

    if site.end == "input":
        return site.module.register_forward_pre_hook(before, with_kwargs=True)
    return site.module.register_forward_hook(after)
