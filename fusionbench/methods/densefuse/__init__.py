"""DenseFuse: Li and Wu, IEEE TIP 2019, doi 10.1109/TIP.2018.2887342.

``network``, ``spec`` (loss, training, files), and ``method`` for the engine.
"""

from fusionbench.methods.densefuse.method import DenseFuseMethod

__all__ = ["DenseFuseMethod"]
