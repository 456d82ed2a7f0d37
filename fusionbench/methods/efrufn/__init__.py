"""EFRUFN, the equilibrium form of FRUFN: Wang, Cao, Deng, Vivone, IEEE TPAMI 2026, doi 10.1109/TPAMI.2026.3655694.

``network`` is the network and its solvers, ``spec`` what training and import need to know, ``method`` what the engine calls;
cell and loss are those of ``frufn``.
"""

from fusionbench.methods.efrufn.method import EfrufnMethod

__all__ = ["EfrufnMethod"]
