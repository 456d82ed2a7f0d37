"""RWKVFusion: Cao, Liang, Deng and Vivone, IEEE TPAMI 2025, image-only variant.

``network`` is the network, ``recurrence`` its token mixing, ``losses`` its loss, ``spec`` what training needs to know,
``method`` what the engine calls.
"""

from fusionbench.methods.rwkvfusion.method import RWKVFusionMethod

__all__ = ["RWKVFusionMethod"]
