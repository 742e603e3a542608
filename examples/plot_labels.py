"""
Temperature, gravity and eighteen abundances from a spectrum
============================================================

A model of spectra given labels learns from a thousand stars whose labels are known,
some of them only in part. Turned round, it measures the labels of others, with errors
that hold.

The spectra are synthetic, of lines in local thermodynamic equilibrium on the pixels of
APOGEE, with a signal-to-noise ratio of 100.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skastro.datasets import make_twin_spectra
from skastro.labels import LabelRegressor

data = make_twin_spectra(1500, snr=100, random_state=0)
X, abundances = data.X[::2], data.abundances[::2].copy()
abundances[:, 1:] += abundances[:, :1]  # [X/H]
names = ["teff", "logg", *(f"{element}_h" for element in data.element_names)]
y = pd.DataFrame(np.column_stack([data.u[::2, :2], abundances]), columns=names)
y["fe_h"] = y.pop("Fe_h")
train, test = slice(0, 1000), slice(1000, 1500)

# %%
# A tenth of the training labels is missing. They are integrated over, not filled in.

known = y[train].where(np.random.default_rng(0).random((1000, 20)) > 0.1)
model = LabelRegressor().fit(X[train], known)
print(f"{known.isna().sum().sum()} labels missing, {len(model.powers_)} terms")

# %%
# Labels of stars that were not seen, with errors. Of every label, about 68 % should be
# within one sigma.

labels, error = model.predict(X[test], return_std=True)
truth = y[test].to_numpy()
inside = (np.abs(labels - truth) < error).mean(axis=0)
score = model.score(X[test], y[test])
print(f"within one sigma: {inside.mean():.2f}, R² = {score:.3f}")

shown = ["teff", "logg", "fe_h", "N_h", "Mg_h", "Na_h", "Mn_h", "Rb_h"]
figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
for ax, name in zip(axes.flat, shown, strict=True):
    k = list(model.label_names_).index(name)
    ax.errorbar(
        truth[:200, k],
        labels[:200, k],
        error[:200, k],
        fmt=".",
        markersize=3,
        elinewidth=0.6,
        alpha=0.6,
    )
    ax.axline((truth[0, k],) * 2, slope=1, color="k", linewidth=0.8)
    spread = np.std(labels[:, k] - truth[:, k])
    ax.set_title(f"{name}: {spread:.3g} rms, {inside[k]:.2f} in 1σ", fontsize="medium")
for ax in axes[:, 0]:
    ax.set_ylabel("measured")
for ax in axes[1]:
    ax.set_xlabel("true")

# %%
# Which pixels say so? The Fisher information of each pixel about a label, for one star.

information = model.label_information(labels[:1])[0]
near = (data.wavelength > 15_700) & (data.wavelength < 15_800)
figure, (upper, lower) = plt.subplots(
    2, 1, figsize=(10, 4.4), sharex=True, layout="constrained"
)
upper.plot(data.wavelength[near], X[1000, near], "0.6", label="star")
upper.plot(
    data.wavelength[near], model.predict_spectra(labels[:1])[0, near], label="model"
)
upper.legend()
upper.set_ylabel("normalised flux")
for name in ("fe_h", "N_h", "Mg_h", "Mn_h"):
    k = list(model.label_names_).index(name)
    lower.plot(data.wavelength[near], information[k, near], label=name)
lower.legend(ncols=4)
lower.set_ylabel("information [1/dex²]")
lower.set_xlabel("vacuum wavelength [Å]")
plt.show()
