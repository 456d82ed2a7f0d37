"""How DM-FNet is trained: Stage I teaches the U-Net to denoise, Stage II the head to fuse on the frozen U-Net's maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.methods._sr3 import add_noise, draw_noise_level, sqrt_alpha_bar
from fusionbench.methods.dmfnet.head import FusionHead
from fusionbench.methods.dmfnet.losses import LossWeights, fusion_loss
from fusionbench.methods.dmfnet.model import Noise, decoder_maps, draw_noise
from fusionbench.methods.dmfnet.unet import TIMESTEPS, DenoisingUNet
from fusionbench.training import Settings, TrainingPair, mean_terms, sample_seed, spread, to_signed

LOW_STEPS = 60
VALIDATION_PAIRS = 12


def default_settings(stage: str, preset: str) -> Settings:
    """How a stage is trained unless the user says otherwise. "paper" follows the published script."""
    if preset == "paper":
        if stage == "denoise":
            return Settings(steps=630_000, batch=8, crop=160, lr=1e-5, schedule="constant", optimizer="adamw",
                            weight_decay=0.01, clip=0.0, ema=0.9999, validate_every=5000)  # fmt: skip
        return Settings(steps=221_400, batch=1, crop=160, lr=1e-4, schedule="cosine", clip=0.0, validate_every=2000)
    if stage == "denoise":
        return Settings(steps=4000, batch=4, crop=96, lr=1e-3, optimizer="adamw", weight_decay=0.01, ema=0.998,
                        precision="bf16", validate_every=400)  # fmt: skip
    return Settings(steps=8000, batch=4, crop=96, lr=1e-3, ema=0.998, precision="bf16", validate_every=400)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Denoiser(nn.Module):
    """The U-Net as Stage I trains it, with a 1x1 readout of the finest map that the fusion head will read."""

    def __init__(self, unet: DenoisingUNet) -> None:
        super().__init__()
        self.unet = unet
        self.readout = nn.Conv2d(unet.widths[0], 1, 1)

    def forward(self, noisy: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        x0, finest = self.unet.predict_with_finest(noisy, level)
        return x0.float(), self.readout(finest).float()


class DenoiseRecipe:
    """Stage I: mean squared error of the predicted x0 on the cosine schedule.

    low_noise: share of samples whose step comes from the lowest 60 of 2000, where Stage II reads its maps. readout: weight
    of the mean absolute error, on those samples, of the image read linearly off the finest map that Stage II reads (and
    half that weight for x0 itself). Nothing else asks that map to hold fine detail: the two blocks behind it get the
    noisy image by their own skips. Both are ours; 0 and 0, with one step for the whole batch, are as published. noise: False
    trains an autoencoder on the same samples and terms: nothing is added, every level is 1.
    """

    name = "dmfnet-denoise"

    def __init__(self, unet: DenoisingUNet, low_noise: float = 0.5, readout: float = 0.0, noise: bool = True) -> None:
        self.network: nn.Module = Denoiser(unet)
        self.low_noise, self.readout, self.noise = low_noise, readout, noise
        self.levels = sqrt_alpha_bar("cosine", TIMESTEPS)

    def loss(self, network: nn.Module, a: Tensor, b: Tensor, seeds: list[int]) -> tuple[Tensor, Mapping[str, Tensor]]:
        return self.loss_of(network, a, b, *(x.to(a.device) for x in self.draw(seeds, *a.shape[-2:])))

    def draw(self, seeds: list[int], height: int, width: int) -> tuple[Tensor, ...]:
        """For the MRI images of N seeds, then the others: (2N,) levels, (2N,1,H,W) noise, (2N,) 1 where noise is low."""
        step = int(torch.randint(1, TIMESTEPS + 1, (), generator=_generator(seeds[0])))
        levels, noise, low = [], [], []
        for index in range(2 * len(seeds)):
            g = _generator(sample_seed(seeds[index % len(seeds)], index // len(seeds)))
            low.append(bool(torch.rand((), generator=g) < self.low_noise))
            if self.low_noise:
                step = int(torch.randint(1, (LOW_STEPS if low[-1] else TIMESTEPS) + 1, (), generator=g))
            levels.append(draw_noise_level(self.levels, step, 1, g))
            noise.append(torch.randn(1, height, width, generator=g))
        level = torch.cat(levels)
        return level if self.noise else torch.ones_like(level), torch.stack(noise), torch.tensor(low).float()

    def loss_of(self, network: nn.Module, *images_and_draws: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        a, b, level, noise, low = images_and_draws
        clean = torch.cat([a, b])
        x0, read = network(add_noise(clean, level, noise), level)
        mask = low[:, None, None, None]
        terms = {
            "denoise": F.mse_loss(x0, clean),
            "readout": self.readout * ((read - clean).abs() * mask).mean(),
            "detail": self.readout / 2 * ((x0 - clean).abs() * mask).mean(),
        }
        return torch.stack(list(terms.values())).sum(), terms

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The loss on whole pairs, always with the same draws, and its terms; then the root mean squared error in grey
        levels at low and at high noise."""
        device = next(network.parameters()).device
        rows = []
        for index, pair in enumerate(spread(pairs, VALIDATION_PAIRS)):
            a, b = to_signed([pair.a]).to(device), to_signed([pair.b]).to(device)
            total, terms = self.loss(network, a, b, [sample_seed(index)])
            rows.append({"loss": total, **terms})
        return {**mean_terms(rows), **(self._errors(network, pairs) if self.noise else {})}

    def _errors(self, network: nn.Module, pairs: list[TrainingPair]) -> dict[str, float]:
        images = [image for p in spread(pairs, VALIDATION_PAIRS // 2) for image in (p.a, p.b)]
        figures = {}
        device = next(network.parameters()).device
        for step in (20, 60, 200, 600):
            squared = 0.0
            for index, image in enumerate(images):
                clean = to_signed([image])
                level = self.levels[step].float()[None]
                noisy = add_noise(clean, level, torch.randn(clean.shape, generator=_generator(index)))
                x0, _ = network(noisy.to(device), level.to(device))
                squared += F.mse_loss(x0.cpu(), clean).item()
            figures[f"rmse_step_{step}"] = (squared / len(images)) ** 0.5 * 127.5
        return figures

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        return None


class FuseRecipe:
    """Stage II: the fusion loss on the frozen U-Net's decoder maps.

    cache: keep the maps of every sample in memory by its seed (about 5 MB for a crop of 96 at inner 32, in bf16). Only for
    training from a pool, where a seed stands for one crop and one noise; it spares the six U-Net passes.
    """

    name = "dmfnet-fuse"

    def __init__(
        self, unet: DenoisingUNet, head: FusionHead, weights: LossWeights | None = None, cache: bool = False
    ) -> None:
        self.unet = unet.eval().requires_grad_(False)
        self.network: nn.Module = head
        self.weights = weights or LossWeights()
        self.cache: dict[int, list[Tensor]] | None = {} if cache else None

    def _maps(self, a: Tensor, b: Tensor, seeds: Sequence[int]) -> list[Tensor]:
        with torch.no_grad():
            return decoder_maps(self.unet.to(a.device), a, b, Noise(*self.draw(seeds, *a.shape[-2:])))

    def draw(self, seeds: Sequence[int], height: int, width: int) -> tuple[Tensor, ...]:
        """The noise and the levels of :class:`Noise`."""
        noise = draw_noise([_generator(seed) for seed in seeds], height, width)
        return noise.eps, noise.level

    def loss_of(self, network: nn.Module, *images_and_draws: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        a, b, eps, level = images_and_draws
        with torch.no_grad():
            maps = decoder_maps(self.unet.to(a.device), a, b, Noise(eps, level))
        return self._loss_on(network, maps, a, b)

    def loss(self, network: nn.Module, a: Tensor, b: Tensor, seeds: list[int]) -> tuple[Tensor, Mapping[str, Tensor]]:
        maps = self._maps(a, b, seeds) if self.cache is None else self._cached_maps(a, b, seeds)
        return self._loss_on(network, maps, a, b)

    def _loss_on(
        self, network: nn.Module, maps: list[Tensor], a: Tensor, b: Tensor
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        fused = network(maps)
        with torch.autocast(a.device.type, enabled=False):
            return fusion_loss(fused.float(), a, b, self.weights)

    def _cached_maps(self, a: Tensor, b: Tensor, seeds: Sequence[int]) -> list[Tensor]:
        cache = self.cache if self.cache is not None else {}
        for i, seed in enumerate(seeds):
            if seed not in cache:
                cache[seed] = self._maps(a[i : i + 1], b[i : i + 1], [seed])
        # One pair's maps are (2, ...): MRI, other. A batch has all MRI first.
        kept = [cache[seed] for seed in seeds]
        return [torch.cat([m[:1] for m in level] + [m[1:] for m in level]) for level in zip(*kept, strict=True)]

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The loss and its terms on whole images."""
        rows = []
        for index, pair in enumerate(spread(pairs, VALIDATION_PAIRS)):
            a, b, fused = self._fuse(network, pair, index)
            total, terms = fusion_loss(fused, a, b, self.weights)
            rows.append({"loss": total, **terms})
        return mean_terms(rows)

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        images = [self._fuse(network, pair, 0)[2] for pair in spread(pairs, 6)]
        return torch.cat(images).cpu() / 2 + 0.5

    def _fuse(self, network: nn.Module, pair: TrainingPair, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        device = next(network.parameters()).device
        a, b = to_signed([pair.a]).to(device), to_signed([pair.b]).to(device)
        return a, b, network(self._maps(a, b, [seed]))


def loss_preset(name: str) -> LossWeights:
    """The published loss for "paper"; "compact" adds terms that hold more of both sources (see docs/dmfnet.md)."""
    if name == "paper":
        return LossWeights()
    return LossWeights(intensity=3.0, gradient=2.0, fidelity=0.25, similarity=0.5, border="valid")
