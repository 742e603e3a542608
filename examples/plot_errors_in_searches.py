"""
Errors through a grid search
============================

How many components of a spectrum tell where a star was born? A stock ``GridSearchCV``
answers, with the errors of the pixels on their way through every step and every score,
and without them.
"""

# %%
# Spectra of 20 open clusters and of the field, of which some pixels are missing and
# each has an error. With metadata routing, ``sigma`` goes to whoever asks for it.
import matplotlib.pyplot as plt
import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_scorer
from skastro.model_selection import LeaveOneClusterOut

sklearn.set_config(enable_metadata_routing=True)
stars = make_open_clusters(
    20, 140, n_field=1000, n_features=300, snr=40, missing=0.05, random_state=1
)

# %%
# The same pipeline twice. Aware of errors, the components hand their covariances on to
# the metric, which ranks pairs of stars by how much likelier they are as siblings than
# as strangers.
DIMENSIONS = [2, 4, 6, 9, 13, 18]


def search(aware):
    """Return the search over the number of components."""
    components = ProbabilisticPCA(with_covariance=aware, random_state=0)
    components.set_fit_request(sigma=aware).set_transform_request(sigma=aware)
    return GridSearchCV(
        make_pipeline(components, RSCA(with_covariance=aware)),
        {"probabilisticpca__n_components": DIMENSIONS},
        cv=LeaveOneClusterOut(),
        scoring=doppelganger_scorer.set_score_request(sigma=aware),
        n_jobs=2,
    )


plain = search(aware=False).fit(stars.X, stars.y)
aware = search(aware=True).fit(stars.X, stars.y, sigma=stars.sigma)
for name, found in (("without errors", plain), ("with errors", aware)):
    print(f"{name}: {found.best_params_}, doppelganger rate {-found.best_score_:.4f}")

# %%
# The share of strangers that are as alike as siblings, of clusters that the metric has
# not seen. With few components it lacks elements, whoever weighs them. With many,
# components that noise made disturb a plain distance, and a likelihood knows how little
# they mean.
figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
for label, found, colour, marker in (
    ("without errors", plain, "#D55E00", "s"),
    ("with errors", aware, "#0072B2", "o"),
):
    results = found.cv_results_
    n_splits = found.n_splits_
    mean = -results["mean_test_score"]
    error = results["std_test_score"] / np.sqrt(n_splits)
    axes.errorbar(
        DIMENSIONS, mean, error, color=colour, marker=marker, capsize=3, label=label
    )
    best = int(np.argmin(mean))
    axes.plot(
        DIMENSIONS[best], mean[best], "o", ms=14, mfc="none", color=colour, mew=1.5
    )
axes.set(
    xlabel="number of components",
    ylabel="doppelganger rate of left-out clusters",
    yscale="log",
    title="Stock GridSearchCV, 20 clusters left out one by one; circles: chosen",
)
axes.title.set_size(10)
axes.legend(frameon=False)
sklearn.set_config(enable_metadata_routing=False)
plt.show()
