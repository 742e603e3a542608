"""
Stars born together: from spectra to a metric
=============================================

Members of an open cluster formed from one cloud and share its chemistry. RSCA learns
from known clusters which differences between spectra that leaves, and so how likely
two stars are to be siblings. Its measure is the *doppelganger rate*: the share of
pairs of a cluster's member and a star of the field that are as alike as the median
pair of members.

The spectra are synthetic: twenty clusters and two thousand field stars, with missing
pixels, and with temperatures, gravities, residual velocities and line widths that
change spectra more than abundances do.
"""

import numpy as np
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_rate
from skastro.model_selection import cross_val_doppelganger_rates
from skastro.plotting import (
    DimensionalityDisplay,
    DoppelgangerDisplay,
    RelevanceDisplay,
)

data = make_open_clusters(random_state=0)
X, sigma, y = data.X, data.sigma, data.y
print(f"{X.shape[0]} spectra of {X.shape[1]} pixels, {np.isnan(X).mean():.1%} missing")

# %%
# Principal components of incomplete spectra, and a metric on them, fitted to all
# clusters but one and judged on that one. How many components? Too few leave out
# chemistry; too many, and 180 stars do not tell how clusters scatter in each.

pipeline = make_pipeline(ProbabilisticPCA(random_state=0), RSCA())
display = DimensionalityDisplay.from_estimator(
    pipeline,
    X,
    y,
    param_name="probabilisticpca__n_components",
    param_range=[2, 4, 6, 8, 12, 16, 24],
    n_jobs=2,
)
_ = display.ax_.set_title("from incomplete spectra, no cluster judges itself")

# %%
# The principal components alone say little about birth: temperature is in them. Here
# they are those of the field, so that no cluster shapes what it is judged by.

field = y == -1
pca = ProbabilisticPCA(12, random_state=0).fit(X[field])
Z = pca.transform(X)
raw = doppelganger_rate(Z, y)
learned = cross_val_doppelganger_rates(RSCA(), Z, y)
print(f"doppelganger rate: {raw:.4f} raw, {learned.global_rate:.4f} with RSCA")

# %%
# Pixels have errors, which differ from star to star. Scores of highest likelihood
# travel with the covariance of their errors, and pairs are ranked by the ratio of two
# likelihoods: of being siblings and of being strangers.

aware = ProbabilisticPCA(12, with_covariance=True, random_state=0)
Z_aware = aware.fit(X[field], sigma=sigma[field]).transform(X, sigma=sigma)
with_errors = cross_val_doppelganger_rates(RSCA(with_covariance=True), Z_aware, y)
print(f"with errors: {with_errors.global_rate:.4f}")
best = doppelganger_rate(data.abundances, y)
print(f"true abundances: {best:.4f}")

# %%
# Distances within clusters that the metric has not seen, beside those to the field.

seen = y < 12
unseen = (y >= 12) | field
metric = RSCA().fit(Z[seen], y[seen])
_ = DoppelgangerDisplay.from_estimator(metric, Z[unseen], y[unseen])

# %%
# What are the strongest dimensions? Combinations of abundances, and no temperature.

labels = {f"abundance {i}": column for i, column in enumerate(data.abundances.T[:3])}
labels["temperature"] = data.nuisances[:, 0]
_ = RelevanceDisplay.from_estimator(
    metric, Z[field], {name: column[field] for name, column in labels.items()}
)
