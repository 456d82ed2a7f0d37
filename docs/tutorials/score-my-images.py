# %% [markdown]
# # Score my images
#
# You have fused images, made by any program in any language, and want them beside known methods. fusionbench needs the
# pairs that they were made from, and a folder of 8-bit images named like the pairs. Here the pairs are generated ones
# that come with the package; with your own two folders the task is `folders:mine/pet-mri`, with `data=[Path("mri"),
# Path("pet")]`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from fusionbench import TASKS, evaluate, fuse, load_board, load_scores, plots, run
from fusionbench.bench import score_folders
from fusionbench.pairs import read_picture, write_png

task = TASKS["phantom/pet-mri"].factory()
pairs = task.ids()[:6]
print(pairs)

# %% [markdown]
# ## The images
#
# This stands for your program: it writes one PNG a pair. Its name is the pair's.

# %%
for name in pairs:
    pair = task.load(name)
    write_png(Path("mine") / f"{name}.png", fuse("weighted:weight=0.7", pair.a, pair.color))

shown = task.load(pairs[0])
mine = read_picture(Path("mine") / f"{shown.id}.png")
images = {"MRI": shown.a, "PET": shown.color, "mine": mine.color}
figure, axes = plt.subplots(1, 3, figsize=(7, 2.4))
for axis, (title, image) in zip(axes, images.items(), strict=True):
    axis.imshow(image, cmap="gray")
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## One image, by hand
#
# `evaluate` takes arrays: grey levels, which of a coloured image are its luminance. A profile names the
# convention of every number: `dmfnet` is the evaluator of DM-FNet.

# %%
{name: round(float(value[0]), 4) for name, value in evaluate(mine.grey, shown.a, shown.b, "dmfnet").items()}

# %% [markdown]
# ## The folder, beside other methods
#
# `run` fuses and scores methods of the package on the same pairs; `score_folders` scores your images like theirs. What
# is there already is not done again.

# %%
results = Path("results")
run(["average", "maximum", "laplacian", "guided-filter"], ["phantom/pet-mri"], results, limit=6)
score_folders([(Path("mine"), {"name": "Mine"})], "phantom/pet-mri", results, limit=6)
board = load_board(results, "phantom/pet-mri")
board

# %%
figure, axis = plt.subplots(figsize=(6, 2.6))
plots.boxes(board, "ssim", axis)
plt.show()

# %% [markdown]
# ## Every score as a table
#
# `load_scores` gives a row a score; what you do with it is up to pandas.

# %%
scores = load_scores(results)
scores[scores.metric == "ssim"].pivot_table("value", "pair", "method").round(3)

# %% [markdown]
# The same from the command line:
#
# ```sh
# fusionbench score mine --name Mine -t pet-mri --dataset phantom --limit 6
# fusionbench run -m average -m maximum -m laplacian -m guided-filter -t pet-mri --dataset phantom --limit 6
# fusionbench report
# ```
