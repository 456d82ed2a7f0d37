"""Stage I network of DM-FNet: an SR3-style U-Net that predicts the clean image from a noisy one.

Source: He et al., "DM-FNet: Unified multimodal medical image fusion via diffusion process-trained encoder-decoder",
IEEE TMM 2025, doi 10.1109/TMM.2025.3613156, arXiv 2506.15218. Where the paper and the released code differ this
follows the code, since the published checkpoints load only into that: parameter names are theirs.
"""

import itertools
from collections.abc import Sequence

from torch import Tensor

from fusionbench.methods._sr3 import BLOCKS_UP, ConditionalUNet

TIMESTEPS = 2000


class DenoisingUNet(ConditionalUNet):
    """Predicts x0 from a noisy image (N,1,H,W) in about [-1, 1] and the (N,) sqrt(alpha_bar) of each sample.

    crop: training resolution, which decides where self-attention sits: at the published 160 in the middle only.
    """

    def __init__(
        self,
        inner: int = 128,
        multipliers: Sequence[int] = (1, 1, 1, 1, 2),
        groups: int = 32,
        dropout: float = 0.2,
        crop: int = 160,
    ) -> None:
        super().__init__(1, inner, multipliers, groups, dropout, crop, named_first=True)

    def features(self, noisy: Tensor, noise_level: Tensor) -> list[Tensor]:
        """The first up-block's map of every level, coarse to fine: what the fusion head reads (maps 14, 11, 8, 5, 2
        counted back from the end of the decoder). The rest of the finest level is never computed."""
        wanted = BLOCKS_UP * (len(self.widths) - 1) + 1
        return list(itertools.islice(self.decode(noisy, noise_level), wanted))[::BLOCKS_UP]

    def predict_with_finest(self, noisy: Tensor, noise_level: Tensor) -> tuple[Tensor, Tensor]:
        """(x0, the finest map that the head reads), for training with a readout of that map."""
        maps = list(self.decode(noisy, noise_level))
        return self.final_conv(maps[-1]), maps[-BLOCKS_UP]
