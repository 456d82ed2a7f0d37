"""LKC-FUNet on the CPU: processor seconds of its Fourier convolutions against direct ones, for a training step and a pair.

    python benchmarks/lkcfunet.py [--inner 6 ...] [--threads 1] [--repeat 3]

Random weights; a step is forward and backward on 4 crops of 64 x 64, without the loss; a pair is 256 x 256. The best of the
repeats is told, in processor time, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import time
import types
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fusionbench.methods.lkcfunet.fourier import LargeConv2d
from fusionbench.methods.lkcfunet.network import Network, Preset


def directly(network: Network) -> Network:
    """The same network with torch's own convolutions throughout."""
    for module in network.modules():
        if isinstance(module, LargeConv2d):
            module.forward = types.MethodType(nn.Conv2d.forward, module)
    return network


def seconds(work: Callable[[], Tensor], repeat: int) -> float:
    work()
    taken = []
    for _ in range(repeat):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inner", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    crops, pair = torch.rand(4, 2, 64, 64), torch.rand(1, 2, 256, 256)
    print("| inner | step, Fourier | step, direct | pair, Fourier | pair, direct | largest difference |")
    print("|---|---|---|---|---|---|")
    for inner in options.inner:
        torch.manual_seed(0)
        quick = Network(Preset(inner, dropout=0.0))
        plain = directly(Network(Preset(inner, dropout=0.0)))
        plain.load_state_dict(quick.state_dict())
        cells = []
        for network in (quick, plain):

            def step(network: Network = network) -> Tensor:
                loss = network(crops).square().mean()
                loss.backward()
                return loss

            cells.append(seconds(step, options.repeat))
        with torch.inference_mode():
            apart = (quick.eval()(pair) - plain.eval()(pair)).abs().max().item()
            cells += [seconds(lambda network=network: network(pair), options.repeat) for network in (quick, plain)]
        print(f"| {inner} | {' | '.join(f'{cell:.2f} s' for cell in cells)} | {apart:.1g} |", flush=True)


if __name__ == "__main__":
    main()
