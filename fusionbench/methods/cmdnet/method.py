"""CMD-Net as the engine calls it: a reconstruction, no fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionbench.errors import InputError
from fusionbench.methods import MethodFacts
from fusionbench.methods._learned import Trained
from fusionbench.methods.reconstruction import RECONSTRUCTIONS

if TYPE_CHECKING:
    import torch

    from fusionbench.training import NetworkSpec


@RECONSTRUCTIONS.register(
    MethodFacts(
        name="cmdnet",
        title="CMD-Net, single coil, trained on generated MRI (compact)",
        family="learned",
        year=2024,
        reference="Qiao, Li, Wang and Huang, Collaborative model-driven network for MRI reconstruction, arXiv 2402.03383v2",
        doi="10.48550/arXiv.2402.03383",
        licence="own implementation and weights; weights trained on generated images alone",
        trained=True,
        origin="trained here",
        trained_on=("phantom@train",),
        trained_for=("ssim",),
        theirs="ten cascades, U-Nets of 16 and 4 filters, 15 coils, raw knee data",
        ours="the same network for one coil; three cascades, U-Nets of 4 and 2 filters, 8 hidden channels",
    )
)
class CMDNet(Trained):
    """Setting: ``weights``: a .safetensors file of ``fusionbench train cmdnet``, "" for the shipped compact one."""

    package = "cmdnet"

    @classmethod
    def spec(cls) -> NetworkSpec[Any, Any]:
        from fusionbench.methods.cmdnet.spec import SPEC  # heavy; not needed to list reconstructions

        return SPEC

    def prepare(self, device: torch.device) -> None:
        """Load the weights. Raises InputError when they are missing, damaged or of another network."""
        super().prepare(device)
        self._device = device

    def restore(
        self, kspace: NDArray[np.complexfloating[Any, Any]], mask: NDArray[np.floating[Any]]
    ) -> NDArray[np.float64]:
        """(H, W) masked spectrum as of ``numpy.fft.fft2``, (H,) ones for the lines that were measured -> (H, W) image.

        Raises InputError for an image below 32 x 32, which the network cannot take.
        """
        import torch  # heavy; not needed to list reconstructions

        from fusionbench.methods.cmdnet.network import SMALLEST, magnitude, normalised

        if min(kspace.shape) < SMALLEST:
            size = " x ".join(map(str, kspace.shape[::-1]))
            raise InputError(
                f"cmdnet restores images of {SMALLEST} x {SMALLEST} or more, not {size}; use reconstruct=cs"
            )
        turned = kspace.T / np.sqrt(kspace.size)  # the network's masks are of columns, its transform orthonormal
        k = torch.from_numpy(np.stack([turned.real, turned.imag])).float().to(self._device)[None]
        columns = torch.from_numpy(np.asarray(mask, np.float32)).to(self._device)
        if not bool(k.any()):
            return np.zeros(kspace.shape)
        with torch.inference_mode():
            k0, scale = normalised(k, columns)
            restored = magnitude(self.network()(k0, columns)[0][-1]) * scale
        return np.asarray(restored[0, 0].double().cpu().numpy().T)
