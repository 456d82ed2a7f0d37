"""How Diff-IF is trained: both networks together, on pairs with a prior fused image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusionbench.errors import InputError
from fusionbench.methods._sr3 import add_noise, draw_noise_level, sqrt_alpha_bar
from fusionbench.methods.diffif.losses import LossWeights, loss_terms, refining_terms
from fusionbench.methods.diffif.model import (
    SAMPLING_STEPS,
    TIMESTEPS,
    DiffIF,
    Prediction,
    draw_noise,
    sample,
    sampling_times,
)
from fusionbench.training import Settings, TrainingPair, mean_terms, sample_seed, spread, to_signed

VALIDATION_PAIRS = 12


def default_settings(preset_name: str) -> Settings:
    """How a preset is trained unless the user says otherwise. "paper" follows the published script."""
    if preset_name == "paper":
        return Settings(steps=16_000, batch=16, crop=128, lr=1e-4, schedule="constant", clip=0.0, ema=0.0,
                        validate_every=1000)  # fmt: skip
    return Settings(steps=3000, batch=4, crop=96, lr=1e-3, ema=0.998, precision="bf16", validate_every=500)


def loss_preset(name: str) -> LossWeights:
    """The published loss for "paper"; "compact" adds terms that hold more of both sources (see docs/diffif.md)."""
    return LossWeights() if name == "paper" else LossWeights(window=11, fidelity=1.5, similarity=1.5)


class DiffIFRecipe:
    """One step of both networks on noised prior images.

    sampled: share of *samples* whose step is one of the four that the sampler visits, the others any of 1..1000; 0 is as
    published: one step, any of the 1000, for the whole batch.
    """

    name = "diffif"

    def __init__(self, model: DiffIF, weights: LossWeights, sampled: float = 0.0) -> None:
        self.network: nn.Module = model
        self.weights, self.sampled = weights, sampled
        self.levels = sqrt_alpha_bar("linear", TIMESTEPS)

    def loss(
        self, network: nn.Module, a: Tensor, b: Tensor, target: Tensor | None = None, *, seeds: list[int]
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """a: MRI, b: the other modality, target: the prior fused image."""
        if target is None:
            raise InputError("Diff-IF learns from prior fused images; make them with fusionbench prior, give --prior")
        steps = self._draw_steps(seeds)
        generators = [torch.Generator().manual_seed(sample_seed(seed, 2)) for seed in seeds]
        drawn = [draw_noise_level(self.levels, t, 1, g) for t, g in zip(steps, generators, strict=True)]
        level = torch.cat(drawn).to(target)
        noise = torch.stack([torch.randn(target.shape[1:], generator=g) for g in generators]).to(target)
        exact = self.levels[steps].to(target)
        sources = torch.cat([b, a], dim=1)
        prediction: Prediction = network(sources, add_noise(target, level, noise), level, exact)
        with torch.autocast(a.device.type, enabled=False):
            refined = refining_terms(prediction.fused, b, a, target, self.weights)
            return loss_terms(prediction.noise, noise, refined, self.weights)

    def _draw_steps(self, seeds: list[int]) -> list[int]:
        first = torch.Generator().manual_seed(sample_seed(seeds[0], 1))
        if not self.sampled:
            return [int(torch.randint(1, TIMESTEPS + 1, (), generator=first))] * len(seeds)
        times = sampling_times(SAMPLING_STEPS)
        steps = []
        for seed in seeds:
            g = torch.Generator().manual_seed(sample_seed(seed, 1))
            visited = bool(torch.rand((), generator=g) < self.sampled)
            drawn = int(torch.randint(len(times) if visited else TIMESTEPS, (), generator=g))
            steps.append(times[drawn] if visited else drawn + 1)
        return steps

    def validate(self, network: nn.Module, pairs: list[TrainingPair]) -> Mapping[str, float]:
        """The refined image's terms on whole images as the sampler makes them, and how far the prior image is."""
        rows = []
        for index, pair in enumerate(spread(pairs, VALIDATION_PAIRS)):
            a, b, fused = self._fuse(network, pair, index)
            k = fused if pair.target is None else to_signed([pair.target]).to(fused)
            terms = refining_terms(fused, b, a, k, self.weights)
            total = torch.stack(list(terms.values())).sum()
            rows.append({"loss": total, **terms, "levels_off_prior": 127.5 * F.l1_loss(fused, k)})
        return mean_terms(rows)

    def samples(self, network: nn.Module, pairs: list[TrainingPair]) -> Tensor | None:
        images = [self._fuse(network, pair, 0)[2] for pair in spread(pairs, 6)]
        return torch.cat(images).cpu() / 2 + 0.5

    def _fuse(self, network: nn.Module, pair: TrainingPair, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        device = next(network.parameters()).device
        a, b = to_signed([pair.a]).to(device), to_signed([pair.b]).to(device)
        noise = draw_noise([torch.Generator().manual_seed(seed)], SAMPLING_STEPS, *a.shape[-2:])
        return a, b, sample(network, b, a, noise)
