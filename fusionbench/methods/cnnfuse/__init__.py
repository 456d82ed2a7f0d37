"""A plain convolutional fuser: the simplest learned baseline. ``network``, ``train``, and ``method`` for the engine."""

from fusionbench.methods.cnnfuse.method import CnnFuseMethod

__all__ = ["CnnFuseMethod"]
