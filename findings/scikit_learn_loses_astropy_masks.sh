#!/usr/bin/env bash
# scikit-learn drops the mask of an `astropy.utils.masked.Masked` array, as it does that of a
# `numpy.ma` array, without a word: what stands under the mask is used as data. So do estimators
# that take NaN as missing, and those that exist to fill gaps, which find none to fill. astropy's
# class is meant not to lose its mask, and functions of numpy keep it.
# Seen with scikit-learn 1.9.1 and astropy 8.0.2: means of 200 and more where 0 is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q scikit-learn==1.9.1 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
from astropy.utils.masked import Masked
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
mask = rng.random(X.shape) < 0.2
spoilt = np.where(mask, 1000.0, X)
assert np.abs(np.mean(Masked(spoilt, mask=mask), axis=0).unmasked).max() < 0.2
for kind in (np.ma.array(spoilt, mask=mask), Masked(spoilt, mask=mask)):
    name = type(kind).__name__
    mean = PCA(1).fit(kind).mean_
    filled = SimpleImputer().fit_transform(kind)
    print(f"{name}: mean {mean.round()}, largest value after imputation {filled.max():.0f}")
    assert (mean > 150).all() and filled.max() == 1000, "changed: the mask is seen"
    y = X[:, 0]
    blind = HistGradientBoostingRegressor(random_state=0).fit(kind, y).predict(spoilt)
    plain = HistGradientBoostingRegressor(random_state=0).fit(spoilt, y).predict(spoilt)
    assert np.array_equal(blind, plain), "changed: the mask is seen"
truth = np.array([1.0, 2.0, 3.0, 1000.0])
score = r2_score(np.ma.array(truth, mask=[0, 0, 0, 1]), [1.0, 2.0, 3.0, 4.0])
print("r2_score of a perfect prediction beside a masked value:", round(score, 2))
assert score < 0
PYTHON
