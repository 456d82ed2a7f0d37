# %% [markdown]
# # Task truth for my network
#
# Metrics compare grey levels with those of the sources. Whether a reader can still make the finding in the fused image
# is another question, and it can be asked of generated pairs, where the truth is known. A model observer stands in for
# the reader.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from fusionbench import TASKS, fuse
from fusionbench.bench.observe import observe
from fusionbench.pairs import write_png
from fusionbench.report.truth import markdown, plane, read_truth

subjects = 20
task = TASKS["lesion/ct-mri"].factory()
pairs = task.ids()[: 4 * subjects]

# %% [markdown]
# Of each subject there are four pairs: no finding, one in the MRI, one in the CT, one in both at the same place.

# %%
figure, axes = plt.subplots(2, 4, figsize=(7, 3.6))
for column, name in enumerate(pairs[:4]):
    pair = task.load(name)
    for row, image in enumerate((pair.a, pair.b)):
        axes[row, column].imshow(image, cmap="gray", vmin=0, vmax=255)
        axes[row, column].axis("off")
    axes[0, column].set_title(name, fontsize=8)
plt.show()

# %% [markdown]
# ## My network's images
#
# A network that lives in an environment of its own gets the pairs as files (`fusionbench data export lesion/ct-mri
# --subjects 20 --out pairs`) and leaves one image a pair in a folder. Here a weighted average stands for it.

# %%
for name in pairs:
    pair = task.load(name)
    write_png(Path("fused") / f"{name}.png", fuse("weighted:weight=0.8", pair.a, pair.b))

# %% [markdown]
# ## What can be found in them?
#
# `observe` fuses with the methods named, reads your folder, trains the observer on some subjects and judges it on
# others.

# %%
results = Path("results")
observe(["average", "laplacian", "source-a"], ["lesion/ct-mri"], results, subjects=subjects, observers=["cho"])
observe([], ["lesion/ct-mri"], results, subjects=subjects, observers=["cho"], fused={"Mine": Path("fused")})
(judged,) = read_truth(results)
print(markdown(judged))

# %% [markdown]
# 0.5 is guessing. A copy of the MRI shows the MRI's finding to the full and nothing of the CT's, whatever SSIM says of
# it. Twenty subjects give wide intervals: use a hundred or more for a paper.

# %%
plane(judged, "cho")

# %% [markdown]
# How the observers work, and what was found for the methods of the public leaderboard: [observers](../observers.md).
