"""Pictures of a metric hold what was computed."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_rates
from skastro.model_selection import cross_val_doppelganger_rates
from skastro.plotting import (
    DimensionalityDisplay,
    DoppelgangerDisplay,
    RelevanceDisplay,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clusters():
    return make_open_clusters(
        n_field=300, n_clusters=6, n_cluster_stars=60, n_features=100, random_state=0
    )


@pytest.mark.parametrize("with_covariance", [False, True])
def test_doppelganger_display(clusters, with_covariance):
    pipeline = make_pipeline(
        ProbabilisticPCA(5, with_covariance=with_covariance, random_state=0),
        RSCA(with_covariance=with_covariance),
    ).fit(clusters.X, clusters.y)
    names = {i: f"NGC {i}" for i in range(6)}
    display = DoppelgangerDisplay.from_estimator(
        pipeline, clusters.X, clusters.y, names=names, plot_options={"n_columns": 3}
    )
    assert len(display.axes_) == 6
    assert display.axes_[2].get_title().startswith("NGC 2: ")
    if not with_covariance:
        Z = pipeline.transform(clusters.X)
        rates = doppelganger_rates(Z, clusters.y)
        assert_allclose(display.rates.rates, rates.rates)
        intra, inter = display.distances[2]
        line = display.axes_[2].lines[0].get_xdata()[0]
        assert_allclose(line, np.median(intra))
        assert_allclose(np.mean(inter <= line), rates.rates[2])
        again = DoppelgangerDisplay.from_predictions(Z, clusters.y)
        assert_allclose(again.rates.rates, rates.rates)


def test_doppelganger_display_of_odd_clusters():
    rng = np.random.default_rng(0)
    Z = np.concatenate([rng.normal(size=(500, 2)), [[0, 0], [50, 50]]])
    y = np.array(["field"] * 500 + ["far"] * 2)
    display = DoppelgangerDisplay.from_estimator(
        FunctionTransformer(), Z, y, names={}, field_label="field"
    )
    (ax,) = display.axes_
    siblings = [patch.get_height() for patch in ax.containers[1].patches]
    assert_allclose(sum(siblings), 1)
    DoppelgangerDisplay.from_predictions(np.ones((5, 1)), [0, 0, -1, -1, -1])


def test_relevance_display(clusters):
    pipeline = make_pipeline(ProbabilisticPCA(5, random_state=0), RSCA())
    pipeline.fit(clusters.X, clusters.y)
    label = clusters.abundances[:, 0].copy()
    label[:10] = np.nan
    labels = pd.DataFrame({"iron": label, "other": clusters.abundances[:, 1]})
    display = RelevanceDisplay.from_estimator(
        pipeline, clusters.X, labels, n_features=3
    )
    assert display.axes_.shape == (3, 2)
    Z = pipeline.transform(clusters.X)
    shown = display.axes_[0, 0].collections[0].get_offsets()
    assert_allclose(shown, np.column_stack([label, Z[:, 0]])[10:])
    r = np.corrcoef(label[10:], Z[10:, 0])[0, 1]
    assert display.axes_[0, 0].texts[0].get_text() == f"r = {r:.2f}"
    assert display.axes_[2, 1].get_xlabel() == "other"
    assert f"{pipeline[-1].relevance_[1]:.3f}" in display.axes_[1, 0].get_ylabel()
    masked = {"iron": np.ma.masked_array(clusters.abundances[:, 0], label > 0)}
    display = RelevanceDisplay.from_estimator(pipeline, clusters.X, masked)
    shown = display.axes_[0, 0].collections[0].get_offsets()
    assert len(shown) == np.sum(~(label > 0))
    with pytest.raises(ValueError, match="Label 'name' is not of numbers"):
        RelevanceDisplay.from_estimator(pipeline, clusters.X, {"name": ["a"] * 360})
    with pytest.raises(ValueError, match="Label 'iron' has 3 values for 360 stars"):
        RelevanceDisplay.from_estimator(pipeline, clusters.X, {"iron": [1.0, 2, 3]})


def test_dimensionality_display(clusters):
    Z = ProbabilisticPCA(6, random_state=0).fit_transform(clusters.X)
    display = DimensionalityDisplay.from_estimator(
        RSCA(), Z, clusters.y, param_name="n_components", param_range=[1, 3], label="a"
    )
    curve = display.ax_.lines[-1]
    expected = [
        cross_val_doppelganger_rates(RSCA(k), Z, clusters.y).global_rate for k in (1, 3)
    ]
    assert_allclose(curve.get_ydata(), expected)
    assert display.ax_.get_xlabel() == "n_components"
    assert display.ax_.get_legend().get_texts()[0].get_text() == "a"
