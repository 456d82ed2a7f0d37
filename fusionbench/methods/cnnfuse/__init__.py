"""A plain convolutional fuser: the simplest learned baseline. ``network``, ``spec`` (its training), and ``method``."""

from fusionbench.methods.cnnfuse.method import CnnFuseMethod

__all__ = ["CnnFuseMethod"]
