"""HybridFusion: arXiv 2602.20851.

``network`` is the policy network and the fixed pyramid, ``losses`` its loss, ``spec`` what training needs to know,
``method`` what the engine calls.
"""

from fusionbench.methods.hybridfusion.method import HybridFusionMethod

__all__ = ["HybridFusionMethod"]
