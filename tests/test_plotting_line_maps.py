"""Pictures of factorisations of line maps hold what was fitted."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.testing import assert_allclose

from skastro.datasets import make_line_maps
from skastro.decomposition import LineMapNMF, LineMapNMFEnsemble
from skastro.metrics import component_mae, match_components
from skastro.plotting import ComponentMapsDisplay, EnsembleDisplay


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    return make_line_maps(map_shape=(20, 24), random_state=0)


@pytest.fixture(scope="module")
def ensemble(data):
    return LineMapNMFEnsemble(n_members=12, random_state=0).fit(data.X)


def test_maps_and_profiles_stand_in_the_order_of_the_truth(data, ensemble):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-1e-3, 1e-3]
    display = ComponentMapsDisplay.from_estimator(
        ensemble,
        data.X,
        data.map_shape,
        wcs=wcs,
        components_true=data.components,
        lines=data.lines,
        unit="K",
    )
    display.figure_.canvas.draw()
    order = match_components(data.components, ensemble.components_)
    maps = ensemble.transform(data.X)
    for i, (left, right) in enumerate(display.axes_):
        shown = left.images[0].get_array()
        assert_allclose(shown, maps[:, order[i]].reshape(20, 24))
        assert left.wcs is wcs
        tops = [bar.get_y() + bar.get_height() for bar in right.patches]
        profile = ensemble.components_[order[i]]
        bright = profile > 1e-4 * ensemble.components_.max()
        assert_allclose(tops, profile[bright])
        points = [line for line in right.lines if line.get_marker() == "D"]
        assert_allclose(points[0].get_ydata(), data.components[i])
        assert right.get_ylabel() == "intensity [K]"
    labels = [label.get_text() for label in display.axes_[-1, 1].get_xticklabels()]
    assert labels == data.lines


def test_one_run_without_coordinates(data):
    nmf = LineMapNMF(2, random_state=0).fit(data.X)
    display = ComponentMapsDisplay.from_estimator(nmf, data.X, data.map_shape)
    assert display.axes_.shape == (2, 2) and display.components_std is None
    assert display.axes_[1, 0].get_xlabel() == "column"
    with pytest.raises(ValueError, match="`map_shape`=.5, 5. has not the 480 pixels"):
        ComponentMapsDisplay.from_estimator(nmf, data.X, (5, 5))


def test_members_against_their_penalty(data, ensemble):
    display = EnsembleDisplay.from_estimator(ensemble, components_true=data.components)
    assert display.alpha_name == "alpha_maps"
    errors = [component_mae(data.components, c) for c in ensemble.member_components_]
    drawn = np.concatenate([line.get_ydata() for line in display.axes_[1].lines[:2]])
    kept = ensemble.kept_
    expected = np.array(errors)
    assert_allclose(drawn, np.concatenate([expected[~kept], expected[kept]]))
    drawn = np.concatenate([line.get_ydata() for line in display.axes_[0].lines])
    assert drawn.min() == 1 and display.axes_[1].get_xscale() == "log"
    assert display.axes_[1].get_ylabel() == "MAE of profiles"
    other = EnsembleDisplay.from_estimator(ensemble, penalty="alpha_profiles")
    assert other.axes_[1].get_ylabel() == "distance from the consensus"
    assert np.all(other.alphas == 0) and other.consensus_error is None
    with pytest.raises(ValueError, match="`penalty` must be one of"):
        EnsembleDisplay.from_estimator(ensemble, penalty="alpha")
