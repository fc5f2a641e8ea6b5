"""Fails where code waits for the device: a GPU would idle while Python looks at a number."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITS = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal",
    "_unique2",
    "bincount",
    "repeat_interleave.Tensor",
)


class NoHostSync(TorchDispatchMode):
    """`with NoHostSync(): ...` raises AssertionError at `.item()`, boolean indexing, `nonzero` and the like, on any device."""

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func).removeprefix("aten.")
        assert not name.startswith(_WAITS), f"{name} waits for the device"
        if name.startswith("index"):
            masks = [leaf for leaf in tree_leaves(args[1:]) if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool]
            assert not masks or not name.startswith(("index.", "index_put")), f"{name} with a mask waits for the device"
        operator: Callable[..., Any] = func
        return operator(*args, **(kwargs or {}))
