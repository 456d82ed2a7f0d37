# %% [markdown]
# # Add my method
#
# A method is one file with one function, or one class where it has weights. Nothing of the package is edited.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from fusionbench import METHODS, TASKS, fuse, load_board, plots, run
from fusionbench.audit.contracts import method_checks

Path("softmax.py").write_text('''
import torch

from fusionbench.methods import METHODS, MethodFacts


@METHODS.register(MethodFacts(name="softmax", title="Softmax of intensities", family="pixel", symmetric=True))
def softmax(a: torch.Tensor, b: torch.Tensor, *, beta: float = 5.0) -> torch.Tensor:
    """a (MRI) and b: (N, 1, H, W) float32 in [0, 1]; returns the same."""
    both = torch.stack([a, b])
    return ((beta * both).softmax(0) * both).sum(0)
''')
METHODS.load("softmax.py")

# %% [markdown]
# ## Does it keep the contract?
#
# The checks that the package's own methods pass: shapes and ranges, odd sizes, flat images, the same image twice,
# batches, and what the fact sheet promises (`symmetric=True`). `fusionbench verify softmax.py` does the same.

# %%
for title, check in method_checks("softmax"):
    check()  # raises where it does not hold
    print("holds:", title)

# %% [markdown]
# ## What does it make?

# %%
pair = TASKS["phantom/ct-mri"].factory().load("test-00001")
images = {"MRI": pair.a, "CT": pair.b} | {f"beta = {b}": fuse(f"softmax:beta={b}", pair.a, pair.b) for b in (1, 5, 20)}
figure, axes = plt.subplots(1, len(images), figsize=(9, 2.2))
for axis, (title, image) in zip(axes, images.items(), strict=True):
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Where does it stand?
#
# Each setting is a method of its own in the tables. The controls (average, maximum, a copy of one source) show what a
# number is worth: whoever does not beat them has shown nothing.

# %%
results = Path("results")
run(["softmax", "softmax:beta=20", "average", "maximum", "source-a", "laplacian"], ["phantom/ct-mri"], results, limit=6)
board = load_board(results, "phantom/ct-mri")
board

# %%
figure, axis = plt.subplots(figsize=(6.5, 2.6))
plots.ranks(board, axis)
plt.show()

# %% [markdown]
# A network is a class with `prepare` (load weights), `supports` and `fuse`: see [plugins](../plugins.md). Say in its
# fact sheet what it was trained on (`trained_on`) and for (`trained_for`): boards show it, and whoever does not say
# counts as having seen every patient.
