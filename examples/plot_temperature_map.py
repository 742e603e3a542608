"""
Every pixel of a map: temperature, density and columns
======================================================

Six lines of three molecules, a map of 32 x 32 pixels, and the posterior of seven
parameters in each of them: RADEX itself says that the column density of a molecule acts
on the lines of that molecule only, and that line width and filling factor make all
lines brighter alike. So columns, width and filling factor are integrated on tables that
are computed once, and temperature, density and one amplitude are left to be sampled.

The map is synthetic: a warm, dense clump in a cooler cloud.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from skastro.datasets import gas_prior
from skastro.molecular import RadexModel
from skastro.retrieval import BayesianRetrieval

lines = ["CO(3-2)", "CO(6-5)", "CS(5-4)", "CS(7-6)", "HCN(3-2)", "HCN(4-3)"]
radex = RadexModel(lines, column_density="per line width")
prior = gas_prior(model=radex)
print(prior)

side = 32
rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
clump = np.exp(-((rows + 0.2) ** 2 + (columns - 0.1) ** 2) / 0.18)
cloud = np.exp(-(rows**2 + columns**2) / 0.8)
truth = {
    "temperature": 25 + 95 * clump,
    "density": 10 ** (4.4 + 1.3 * clump),
    "column_density_CO": 10 ** (15.8 + 1.2 * cloud),
    "column_density_CS": 10 ** (12.6 + 1.2 * cloud),
    "column_density_HCN": 10 ** (12.4 + 1.6 * cloud),
    "line_width": 8 + 6 * clump,
    "filling_factor": 0.3 + 0.6 * cloud,
}
theta = np.stack([truth[name].ravel() for name in radex.parameter_names], axis=1)
intensity = radex.predict(theta)
sigma = np.maximum(0.1 * intensity, 0.05)
noisy = intensity + sigma * np.random.default_rng(0).standard_normal(intensity.shape)

# %%
# A row for each pixel, a column for each line.

retrieval = BayesianRetrieval(radex, prior, sampler="importance", random_state=0)
start = time.perf_counter()
retrieval.fit(lines, noisy, sigma=sigma)
seconds = time.perf_counter() - start
print(f"{len(noisy)} pixels in {seconds:.0f} s, with the tables of RADEX")
print("integrated:", ", ".join(retrieval.integrated_parameters_))
ess = retrieval.posterior_.effective_sample_size
print(f"effective sample sizes from {ess.min():.0f} to {ess.max():.0f}")

# %%
# What was put in, the medians, and how well each is known. A scene is no draw of the
# prior, so that the share of pixels whose interval holds the truth need not be 68 %; it
# is over many scenes that it is.

low, median, high = retrieval.posterior_.quantile([0.1587, 0.5, 0.8413])
shown = {
    "temperature": ("temperature [K]", False),
    "density": ("log$_{10}$ density [cm$^{-3}$]", True),
    "column_density_CO": ("log$_{10}$ N(CO) per km/s [cm$^{-2}$]", True),
}
figure, axes = plt.subplots(3, 3, figsize=(9, 8), layout="constrained")
for row, (name, (label, log)) in zip(axes, shown.items(), strict=True):
    i = prior.names.index(name)
    inside = np.mean(
        (low[:, i] < truth[name].ravel()) & (truth[name].ravel() < high[:, i])
    )
    true, found = truth[name], median[:, i].reshape(side, side)
    error = 0.5 * (high - low)[:, i].reshape(side, side)
    if log:
        error = 0.5 * np.log10(high / low)[:, i].reshape(side, side)
        true, found = np.log10(true), np.log10(found)
    ends = np.quantile([true, found], [0.02, 0.98])
    same = {"vmin": ends[0], "vmax": ends[1], "origin": "lower"}
    for axis, image, title, look in (
        (row[0], true, "put in", same),
        (row[1], found, "median", same),
        (row[2], error, f"half the 68 % interval ({inside:.0%} inside)", None),
    ):
        look = {"origin": "lower", "cmap": "magma"} if look is None else look
        picture = axis.imshow(image, **look)
        axis.set(title=title, xticks=[], yticks=[])
        if axis is not row[0]:
            figure.colorbar(picture, ax=axis)
    row[0].set_ylabel(label)
plt.show()
