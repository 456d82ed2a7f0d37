"""Diff-IF: Yi et al., Information Fusion 2024, doi 10.1016/j.inffus.2024.102450.

``refiner`` and ``model`` are the networks and the sampler, ``losses`` and ``recipe`` the training, ``spec`` what training
and import need to know, ``method`` what the engine calls. The prior fused images that it learns from are made by
``fusionbench prior``.
"""

from fusionbench.methods.diffif.method import DiffIFMethod

__all__ = ["DiffIFMethod"]
