"""
Chemical twins without abundances
=================================

Two stars of one composition differ in temperature and gravity, and look different.
Which stars of a survey are twins? Measuring twenty abundances of each would tell, if
spectra were understood well enough. Disentangling asks for less: a representation of
the spectrum that holds nothing of the known labels, and all the rest.

The spectra are synthetic, of lines in local thermodynamic equilibrium on the pixels of
APOGEE, with a signal-to-noise ratio of 100; every star has one twin.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression

from skastro.datasets import make_twin_spectra
from skastro.disentangling import (
    ConditionalFactorAnalysis,
    FaderDisentangler,
    PolyDisentangler,
)
from skastro.metrics import twin_recovery_limit
from skastro.plotting import RecastDisplay, TwinDistanceDisplay, TwinRecoveryDisplay
from skastro.preprocessing import append_conditions

data = make_twin_spectra(2500, snr=100, random_state=0)
X = append_conditions(data.X, data.u)
labels = slice(-3, None)
train, test = np.arange(0, 3000), np.arange(3000, 5000)
y = data.y[test]
print(f"{X.shape[0]} stars, {data.X.shape[1]} pixels, labels {data.condition_names}")

# %%
# One disentangler takes away from each bin a polynomial of the labels. Another knows
# that the same abundance deepens lines by more in a cool star than in a warm one, and
# how well each spectrum determines what it returns. The third is a neural network that
# hides the labels from classifiers. None is told who is whose twin.

poly = PolyDisentangler(labels, random_state=0).fit(X[train])
cfa = ConditionalFactorAnalysis(
    labels, loading_degree=2, max_iter=10, with_covariance=True, random_state=0
).fit(X[train])
fader = FaderDisentangler(labels, random_state=0).fit(X[train])
figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained", sharey=True)
for ax, model in zip(axes, (poly, cfa, fader), strict=True):
    TwinDistanceDisplay.from_estimator(model, X[test], y, ax=ax)
    ax.set_title(type(model).__name__, fontsize="medium")

# %%
# How many strangers are as near as the twin? No estimator can do better than noise
# allows: the Fisher information of the spectra gives that limit.

display = TwinRecoveryDisplay.from_estimator(poly, X[test], y)
for model in (cfa, fader):
    TwinRecoveryDisplay.from_estimator(model, X[test], y, ax=display.ax_)
information = data.model.information(data.u[test, :2], data.abundances[test], snr=100)
limit = twin_recovery_limit(information, data.abundances[test, 1:], y, random_state=0)
TwinRecoveryDisplay.from_predictions(
    limit, name="limit", ax=display.ax_, color="k", linestyle="--"
)
_ = display.ax_.set_title("stars of 2,000 with at most so many false twins")

# %%
# The latent variables hold the abundances, though none was given: a linear regression
# finds them.

Z = cfa.transform(X)[:, : cfa.n_components_]
figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
for ax, element in zip(axes, ("N", "O", "Na", "Al"), strict=True):
    a = data.abundances[:, data.element_names.index(element)]
    readout = LinearRegression().fit(Z[train], a[train])
    ax.plot(a[test], readout.predict(Z[test]), ".", markersize=2, alpha=0.5)
    ax.axline((0, 0), slope=1, color="k", linewidth=0.8)
    score = readout.score(Z[test], a[test])
    ax.set_title(f"[{element}/Fe], R² = {score:.2f}", fontsize="medium")
    ax.set_xlabel("true [dex]")
_ = axes[0].set_ylabel("from latents [dex]")

# %%
# And a star can be recast: as it would look at the temperature and gravity of its twin.

teff = data.u[test, 0].reshape(-1, 2)
pair = np.argmax(np.abs(teff[:, 0] - teff[:, 1]))
RecastDisplay.from_estimator(
    cfa,
    X[test],
    (2 * pair, 2 * pair + 1),
    wavelength=data.wavelength,
    limits=(15_700, 15_760),
)
plt.show()
