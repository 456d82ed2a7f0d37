"""The one-pass student of DM-FNet, trained on its averaged images: ``network``, ``spec`` (its training), ``method``."""

from fusionbench.methods.dmfnetfast.method import DMFNetFastMethod

__all__ = ["DMFNetFastMethod"]
