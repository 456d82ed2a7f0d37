"""DM-FNet's inference beside a straightforward loop: six separate float32 passes of the whole U-Net, one by one.

Same weights, same noise, same pair; what differs is batching, the memory layout, autocast and leaving out what the head
does not read. Prints seconds a pair, the ratio, and how far the outputs are apart.

    python benchmarks/dmfnet.py [--size 256] [--repeat 5] [--weights FILE] [--threads N] [--device cpu|cuda]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fusionbench.datasets import create_task
from fusionbench.methods._learned import shipped
from fusionbench.methods._sr3 import add_noise
from fusionbench.methods.dmfnet.method import DMFNetMethod
from fusionbench.methods.dmfnet.model import DMFNet, Noise, draw_noise
from fusionbench.methods.dmfnet.spec import SPEC


def straightforward(model: DMFNet, a: Tensor, b: Tensor, noise: Noise) -> Tensor:
    """Step by step and image by image, every decoder map computed, the five wanted ones picked out."""
    merged = []
    for row, image in enumerate((a, b)):
        levels: list[list[Tensor]] = [[] for _ in range(5)]
        for column in range(3):
            level = noise.level[row, :, column].to(image)
            noisy = add_noise(image, level, noise.eps[row, :, column][:, None].to(image))
            every = list(model.unet.decode(noisy, level))
            model.unet.final_conv(every[-1])
            for kept, wanted in zip(levels, every[::3], strict=True):
                kept.append(wanted)
        merged.append([torch.cat(maps, dim=1) for maps in levels])
    return model.head([torch.cat(pair) for pair in zip(*merged, strict=True)])


def seconds(run: Callable[[], Tensor], repeat: int) -> float:
    run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run().cpu()  # a GPU is waited for
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--weights", type=Path, default=shipped("dmfnet"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)

    task = create_task("phantom/pet-mri")
    pair = task.load(task.ids()[0])
    a, b = (torch.from_numpy(image).float()[None, None] / 255 for image in (pair.a, pair.b))
    times = -(-options.size // min(a.shape[-2:]))
    a, b = (
        image.tile(1, 1, times, times)[..., : options.size, : options.size].to(device).contiguous() for image in (a, b)
    )
    plain = SPEC.load(options.weights)[0].eval().requires_grad_(False).to(device)

    with torch.inference_mode():

        def loop() -> Tensor:
            noise = draw_noise([torch.Generator().manual_seed(0)], options.size, options.size)
            return straightforward(plain, 2 * a - 1, 2 * b - 1, noise).clamp(-1, 1) / 2 + 0.5

        where = f"{torch.get_num_threads()} threads" if options.device == "cpu" else torch.cuda.get_device_name()
        reference, slow = loop(), seconds(loop, options.repeat)
        print(f"{options.size} x {options.size}, {where}, {options.weights.name}")
        print(f"straightforward loop   {slow:7.3f} s a pair")
        for precision in ("float32", "bf16"):
            method = DMFNetMethod(weights=str(options.weights), precision=precision)
            method.prepare(device)

            def ours(method: DMFNetMethod = method) -> Tensor:
                return method.fuse(a, b, [torch.Generator().manual_seed(0)])

            apart = (ours() - reference).abs().max().item()
            quick = seconds(ours, options.repeat)
            print(
                f"dmfnet, {precision:8}       {quick:7.3f} s a pair, {slow / quick:.1f} x, largest difference {apart:.2g}"
            )


if __name__ == "__main__":
    main()
