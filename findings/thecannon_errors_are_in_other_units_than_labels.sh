#!/usr/bin/env bash
# The Cannon returns labels in their own units, and their errors in others: those of the scaled labels
# of its fit. An effective temperature that is right to 12 K comes out with an error of 0.05, a log g
# that is right to 0.05 with one of 0.11. Each error is to be multiplied by its `model.scales`, a quarter
# of the range that holds 95 % of the training labels; nothing says so.
# Seen with TheCannon 0.7.3, the newest.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2 astropy==8.0.2
"$folder/venv/bin/python" -m pip install -q --no-deps TheCannon==0.7.3
MPLBACKEND=Agg "$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from TheCannon.dataset import Dataset
from TheCannon.model import CannonModel

# spectra that are linear in Teff [K] and log g, 400 pixels of signal to noise 100
rng = np.random.default_rng(0)
y = np.column_stack([rng.uniform(4000, 5000, 1000), rng.uniform(1, 3, 1000)])
response = rng.normal(size=(2, 400)) * [[4e-5], [0.01]]
X = 1 + (y - [4500, 2]) @ response + 0.01 * rng.normal(size=(1000, 400))
ivar = np.full(X.shape, 1e4)
train, test, number = slice(0, 500), slice(500, 1000), np.arange(500)
data = Dataset(
    np.arange(400), number, X[train], ivar[train], y[train], number, X[test], ivar[test]
)
data.set_label_names(["Teff", "log g"])
model = CannonModel(2, useErrors=False)
model.train(data)
errors, _ = model.infer_labels(data)

away = data.test_label_vals - y[test]
scatter, stated = away.std(axis=0), np.median(errors, axis=0)
by_theory = np.sqrt(np.diag(np.linalg.inv(response @ response.T))) * 0.01
print(f"true errors:     {scatter[0]:8.3f} K {scatter[1]:8.4f}, by theory {by_theory}")
print(f"stated errors:   {stated[0]:8.3f} K {stated[1]:8.4f}")
rescaled = stated * model.scales
print(f"times the scales:{rescaled[0]:8.3f} K {rescaled[1]:8.4f}")
assert np.allclose(scatter, by_theory, rtol=0.2), "changed: labels are not as good"
assert np.allclose(rescaled, by_theory, rtol=0.2), "changed: other errors"
assert not np.any(np.isclose(stated, by_theory, rtol=0.3)), "changed: errors have units"
PYTHON
