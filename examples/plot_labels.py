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
from skastro.plotting import LabelErrorDisplay, LabelSpectrumDisplay

data = make_twin_spectra(1500, snr=100, random_state=0)
X, abundances = data.X[::2], data.abundances[::2].copy()
abundances[:, 1:] += abundances[:, :1]  # [X/H]
names = ["teff", "logg", *(f"{element}_h" for element in data.element_names)]
y = pd.DataFrame(np.column_stack([data.u[::2, :2], abundances]), columns=names)
train, test = slice(0, 1000), slice(1000, 1500)

# %%
# A tenth of the training labels is missing. They are integrated over, not filled in.

known = y[train].where(np.random.default_rng(0).random((1000, 20)) > 0.1)
model = LabelRegressor().fit(X[train], known)
print(f"{known.isna().sum().sum()} labels missing, {len(model.powers_)} terms")

# %%
# Labels of stars that were not seen, with errors. Of every label, about 68 % should be
# within one sigma. Residuals are beneath. The lines of rubidium are weak: what they
# leave open is up to the prior, which draws rare abundances towards the mean.

units = dict.fromkeys(names, "dex") | {"teff": "K"}
shown = ["teff", "logg", "Fe_h", "N_h", "Na_h", "Rb_h"]
LabelErrorDisplay.from_estimator(
    model, X[test], y[test], labels=shown, units=units, n_columns=3
)
score = model.score(X[test], y[test])
print(f"R² = {score:.3f}, the mean over twenty labels")

# %%
# Where does a spectrum say so? Here is one star beside its model, and what of the model
# changes when a single label rises while all others stay. Which lines are of which
# element, the model has learned from stars in which abundances rise together.

display = LabelSpectrumDisplay.from_estimator(
    model,
    X[test],
    steps={"teff": 100, "Fe_h": 0.1, "N_h": 0.1, "Na_h": 0.1, "Cr_h": 0.1},
    units=units,
    wavelength=data.wavelength,
    limits=(15_700, 15_760),
)
display.axes_[0].set_ylabel("normalised flux")
_ = display.axes_[-1].set_xlabel("vacuum wavelength [Å]")

# %%
# The Fisher information of all pixels gives the error that a label would have, were all
# others known. The actual error is larger, as labels are told by the same lines.

labels, error = model.predict(X[test], return_std=True)
alone = model.label_information(labels).sum(axis=2) ** -0.5
for name in shown:
    k = model.label_names_.tolist().index(name)
    print(
        f"{name:5}: {np.median(alone[:, k]):.2g} {units[name]} alone,"
        f" {np.median(error[:, k]):.2g} {units[name]} beside the others"
    )
plt.show()
