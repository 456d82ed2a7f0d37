"""DM-FNet: He et al., IEEE TMM 2025, doi 10.1109/TMM.2025.3613156.

``unet``, ``head`` and ``model`` are the networks, ``losses`` and ``recipes`` the training, ``spec`` what training and
import need to know, ``method`` what the engine calls.
"""

from fusionbench.methods.dmfnet.method import DMFNetMethod

__all__ = ["DMFNetMethod"]
