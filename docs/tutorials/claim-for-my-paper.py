# %% [markdown]
# # A claim for my paper
#
# "Ours is better than theirs" is a claim about patients: slices of one patient are no independent cases. This page asks
# it of a board, and of a table of your own.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

from fusionbench import load_board, load_scores, plots, run
from fusionbench.report.claims import ask, ask_csv, sentences

results = Path("results")
run(["guided-filter", "laplacian", "dwt", "pca", "average", "maximum"], ["phantom/ct-mri"], results, limit=8)
board = load_board(results, "phantom/ct-mri")
board

# %% [markdown]
# ## Is the first better than the second?
#
# The quantity is the mean rank over the core metrics within each pair, averaged over the pairs of a patient; the test
# flips the signs of the patients' differences, and is exact for few patients.

# %%
for other in ("laplacian", "dwt"):
    print("\n".join(sentences(ask([board], "guided-filter", other))), "\n")

# %% [markdown]
# By one metric instead:

# %%
print("\n".join(sentences(ask([board], "guided-filter", "laplacian", metric="vif"))))

# %% [markdown]
# ## All at once
#
# Every two methods, with the p values adjusted for all comparisons.

# %%
figure, axis = plt.subplots(figsize=(4.5, 2.6))
plots.significance_map(board, axis)
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()
board.tests.pairwise.round(3)

# %% [markdown]
# ## Three patients cannot carry it
#
# The usual test set of this field, 24 slices a task, is of three or four patients. However large the difference, the
# smallest p value that three patients can give is 0.25.

# %%
scores = load_scores(results)
few = scores[(scores.metric == "ssim") & scores.method.isin(["guided-filter", "laplacian"])]
few = few[few.patient.isin(sorted(few.patient.unique())[:3])]
few[["pair", "patient", "method", "value"]].to_csv("few.csv", index=False)
asked = ask_csv(Path("few.csv"), "guided-filter", "laplacian", patient="patient", metric=None, lower=False, limit=None)
print("\n".join(sentences(asked)))

# %% [markdown]
# The last cell asked a CSV file, which can come from anywhere: columns `pair`, `method`, `value` and one that says
# whose a pair is. On the command line: `fusionbench claim guided-filter laplacian -t ct-mri`, and `fusionbench claim
# guided-filter laplacian --csv few.csv --patient patient`. What can be said with how many patients:
# [inference](../inference.md).
