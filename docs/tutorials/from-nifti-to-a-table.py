# %% [markdown]
# # From NIfTI to a table
#
# Two registered volumes are fused slice by slice on the MRI's grid. Grey values become 8 bits through a window:
# percentiles where none is given, and for a CT of the brain better 0 to 80 HU. Needs `pip install
# 'fusionbench[volumes]'`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np
import pandas as pd
import torch

from fusionbench import TASKS
from fusionbench.bench.volumes import fuse_volumes, read_volume, write_volume
from fusionbench.methods import create_method

# %% [markdown]
# Two volumes to work with: slices of generated pairs, stacked. Yours come from files; a folder with a DICOM series does
# as well.

# %%
task = TASKS["phantom/ct-mri"].factory()
slices = [task.load(name) for name in task.ids()[:5]]
affine = np.diag([1.0, 1.0, 5.0, 1.0])
for name, images in (("mri", [pair.a for pair in slices]), ("ct", [pair.b for pair in slices])):
    stack = np.stack(images, axis=-1).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(stack, affine), f"{name}.nii.gz")

# %%
mri, ct = read_volume(Path("mri.nii.gz")), read_volume(Path("ct.nii.gz"))
method = create_method("laplacian").method
method.prepare(torch.device("cpu"))
fused = fuse_volumes(mri, ct, method, windows=(None, (0, 255)), metrics=["en", "mi", "qabf", "vif", "ssim"])
write_volume(Path("fused.nii.gz"), fused.levels, fused.affine)
print(fused.levels.shape, fused.windows, "resampled" if fused.resampled else "one grid")

# %%
figure, axes = plt.subplots(1, 3, figsize=(7, 2.4))
for axis, (title, volume) in zip(axes, {"MRI": mri.data, "CT": ct.data, "fused": fused.levels}.items(), strict=True):
    axis.imshow(volume[..., 2], cmap="gray")
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## The table

# %%
table = pd.DataFrame(fused.scores).set_index("slice")
table.to_csv("scores.csv")
table.round(4)

# %% [markdown]
# In one line: `fusionbench fuse mri.nii.gz ct.nii.gz -o fused.nii.gz -m laplacian --window-other 0,255 --scores
# scores.csv`. The slices of one volume are one patient: a table of them says how the method does on that patient, not
# on others.
