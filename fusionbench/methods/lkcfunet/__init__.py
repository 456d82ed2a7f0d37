"""LKC-FUNet: He et al., Pattern Recognition 173:112903, 2026, doi 10.1016/j.patcog.2025.112903, arXiv 2411.10036.

``network`` is the network, ``fourier`` its large convolutions, ``losses`` its loss, ``spec`` what training and import
need to know, ``method`` what the engine calls.
"""

from fusionbench.methods.lkcfunet.method import LKCFUNetMethod

__all__ = ["LKCFUNetMethod"]
