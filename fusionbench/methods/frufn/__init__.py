"""FRUFN: Wang, Cao, Deng, Vivone, IEEE TPAMI 2026, doi 10.1109/TPAMI.2026.3655694.

``network`` is the unrolled network, whose cell ``efrufn`` iterates, ``losses`` the loss of both, ``spec`` what training and
import need to know, ``method`` what the engine calls.
"""

from fusionbench.methods.frufn.method import FrufnMethod

__all__ = ["FrufnMethod"]
