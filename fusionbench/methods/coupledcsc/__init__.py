"""Coupled convolutional sparse coding, unfolded, after Marivani et al., IEEE TCSVT 2022, doi 10.1109/TCSVT.2022.3163649.

``network``, ``spec`` (loss, training, files), and ``method`` for the engine.
"""

from fusionbench.methods.coupledcsc.method import CoupledCscMethod

__all__ = ["CoupledCscMethod"]
