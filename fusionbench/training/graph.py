"""A step of work on a GPU, recorded once as a CUDA graph and replayed: small networks wait for launches, not for sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3


class Recorded:
    """Replays ``work(*inputs) -> Tensor`` with new contents of the inputs.

    The shapes are fixed, and the work must not wait for the GPU. state: gives all tensors that it changes in place.
    Recording does the work for real a few times first; afterwards the state is what it was, and what came into being
    meanwhile (an optimiser's moments) is zero.
    """

    def __init__(
        self, work: Callable[..., Tensor], inputs: Sequence[Tensor], state: Callable[[], Sequence[Tensor]]
    ) -> None:
        self._inputs = [x.clone() for x in inputs]
        before = {id(t): t.detach().clone() for t in state()}
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types here
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                work(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.no_grad():
            for t in state():
                if id(t) in before:
                    t.copy_(before[id(t)])
                else:
                    t.zero_()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = work(*self._inputs)

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """inputs: on the GPU or in pinned memory, of the shapes recorded. Does not wait."""
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._output.clone()
