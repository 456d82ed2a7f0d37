"""CMD-Net: Qiao, Li, Wang and Huang, arXiv 2402.03383; restores an undersampled MRI before it is fused.

``network`` is the network, ``masks`` the authors' masks, ``losses`` its loss, ``spec`` what training needs to know,
``method`` what the engine calls.
"""

from fusionbench.methods.cmdnet.method import CMDNet

__all__ = ["CMDNet"]
