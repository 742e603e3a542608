import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats
from sklearn.base import clone

from skastro.parameter_space import LogUniform, Parameter, ParameterSpace, Uniform
from skastro.testing import parameter_spaces

SPACE = ParameterSpace(
    {
        "temperature": Uniform(10, 200, "K"),
        "density": LogUniform(1e4, 1e6, "cm-3"),
        "offset": Parameter(stats.norm(1.0, 2.0)),
    }
)


@given(parameter_spaces(), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=50)
def test_transform_is_inverted(space, seed):
    u = np.random.default_rng(seed).uniform(0.01, 0.99, (20, len(space)))
    theta = space.transform(u)
    assert space.contains(theta).all()
    assert_allclose(space.inverse_transform(theta), u, atol=1e-6)


@given(parameter_spaces(), st.integers(1, 50))
@settings(deadline=None, max_examples=50)
def test_latin_hypercube_has_one_point_a_stratum(space, n):
    u = space.inverse_transform(space.sample_latin_hypercube(n, random_state=0))
    # a point at 1e-9 of a stratum's edge may round to the other side
    strata = np.floor(np.clip(u, 1e-9, 1 - 1e-9) * n)
    near_edge = np.abs(u * n - np.round(u * n)) < 1e-5
    if not near_edge.any():
        assert_array_equal(np.sort(strata, axis=0), np.arange(n)[:, None] + 0 * strata)


@given(parameter_spaces())
@settings(deadline=None, max_examples=20)
def test_clone_prints_and_equals(space):
    assert clone(space) == space
    assert repr(clone(space)) == repr(space)


@pytest.mark.parametrize("name", SPACE.names)
def test_log_prob_integrates_to_one(name):
    space = SPACE.select([name])
    lower, upper = (
        np.clip(space.bounds[0], -30, 30) if name == "offset" else (space.bounds[0])
    )
    total, _ = integrate.quad(
        lambda x: float(np.exp(space.log_prob([x]))), lower, upper, limit=200
    )
    assert_allclose(total, 1.0, rtol=1e-6)


def test_log_prob_is_the_product_of_independent_densities():
    theta = SPACE.sample(10, random_state=0)
    expected = (
        -np.log(190)
        - np.log(theta[:, 1] * np.log(100))
        + stats.norm(1, 2).logpdf(theta[:, 2])
    )
    assert_allclose(SPACE.log_prob(theta), expected)
    assert SPACE.log_prob([5.0, 1e5, 0.0]) == -np.inf


def test_transform_reaches_the_bounds_exactly():
    space = ParameterSpace({"n": LogUniform(1e-7, 3e13), "T": Uniform(0.1, 0.3)})
    assert_array_equal(space.transform([[0, 0], [1, 1]]), space.bounds.T)


def test_quantiles_agree_with_scipy():
    u = np.linspace(0, 1, 11)
    theta = SPACE.select(["temperature", "density"]).transform(np.stack([u, u], 1))
    assert_allclose(theta[:, 0], stats.uniform(10, 190).ppf(u))
    assert_allclose(theta[:, 1], stats.loguniform(1e4, 1e6).ppf(u))


def test_sampling_is_seeded():
    for sample in (SPACE.sample, SPACE.sample_latin_hypercube):
        assert_array_equal(sample(7, random_state=3), sample(7, random_state=3))
        assert (sample(7, random_state=3) != sample(7, random_state=4)).any()


def test_prints_as_a_table():
    text = repr(SPACE)
    assert "temperature  10     200    K     Uniform" in text
    assert "norm(1, 2)" in text


def test_bare_scipy_distribution_is_a_parameter():
    space = ParameterSpace({"x": stats.expon(scale=2.0)})
    assert_allclose(space.transform([[0.5]]), 2 * np.log(2))


def test_get_params_reach_the_parameters():
    assert SPACE.get_params()["parameters"] is SPACE.parameters


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(3, 1), "lower < upper"),
        (lambda: Uniform(0, np.inf), "finite bounds"),
        (lambda: LogUniform(0, 1), "positive bounds"),
        (lambda: LogUniform(-4, 6), "not of its logarithm"),
        (lambda: SPACE.transform([[0.5, 0.5]]), "must have 3 columns"),
        (lambda: SPACE.transform([[0.5, 0.5, 1.5]]), "unit cube"),
        (lambda: SPACE.log_prob([1.0]), "must have 3 columns"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_equality_is_exact():
    assert Uniform(0, 1) == Uniform(0, 1)
    assert Uniform(0, 1) != Uniform(0, 1.0000001)
    assert Uniform(0, 1) != Uniform(0, 1, "K")
    assert LogUniform(1234567, 2e6) != LogUniform(1234568, 2e6)
    assert Parameter(stats.norm(0, 1)) != Parameter(stats.norm(0, 1), log=True)
    assert len({Uniform(0, 1), Uniform(0, 1), LogUniform(1, 2)}) == 2


def test_bounds_carry_their_unit():
    assert Uniform(10 * u.K, 300 * u.K) == Uniform(10, 300, "K")
    assert Uniform(10 * u.K, 0.3 * u.kK, label="T").relabel(None).unit == "K"
    assert LogUniform(1e4 / u.cm**3, 1e6 / u.cm**3) == LogUniform(1e4, 1e6, "cm-3")
    assert_allclose(LogUniform(1e10 / u.m**3, 1e12 / u.m**3, "cm-3").bounds, [1e4, 1e6])
    # a unit that is stated is the parameter's, in its own spelling
    width = Uniform(1000 * u.m / u.s, 1e7 * u.cm / u.s, "km s-1")
    assert_allclose(width.bounds, [1.0, 100.0])
    assert width.unit == "km s-1"
    assert Uniform(10, 300 * u.K, "K") == Uniform(10, 300, "K")
    assert Uniform(0, 300 * u.K) == Uniform(0, 300, "K")
    assert Uniform(0 * u.one, 100 * u.percent) == Uniform(0, 1)
    assert Uniform(1, 2, u.km / u.s) == Uniform(1, 2, "km / s")
    space = ParameterSpace({"T": Uniform(10 * u.K, 300 * u.K)})
    assert space.units == ["K"] and clone(space) == space
    assert_array_equal(space.transform([[0.0], [1.0]]), [[10], [300]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(10 * u.K, 3 * u.km), "`upper` carries the unit km.* not K"),
        (lambda: LogUniform(1 * u.K, 3 * u.K, "cm-3"), "`lower` carries.* not cm-3"),
        (lambda: Uniform(10, 300 * u.K), "lower=10 without a unit.*other bound in K"),
        (lambda: Uniform([1, 2] * u.K, 300 * u.K), "one number for each bound"),
        (lambda: Parameter(stats.norm(3 * u.K, 1 * u.K)), "holds 3.0 K.*as `unit`"),
    ],
)
def test_units_that_disagree_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_bad_types():
    with pytest.raises(TypeError, match=r"frozen continuous scipy\.stats"):
        Parameter(stats.norm)
    with pytest.raises(TypeError, match="`unit` must be a string"):
        Uniform(0, 1, 5)
    with pytest.raises(TypeError, match=r"frozen continuous scipy\.stats"):
        Parameter("uniform")
    with pytest.raises(TypeError, match="mapping"):
        ParameterSpace([("a", Uniform(0, 1))]).names  # noqa: B018
    with pytest.raises(KeyError, match="Did you mean 'temperature'"):
        SPACE["temprature"]


# -- parameters in order


def pair(*names, ordered=None):
    parameters = {name: LogUniform(1e2, 1e5, "cm-3") for name in names}
    return ParameterSpace(parameters, ordered=ordered)


@given(st.integers(2, 4), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=30)
def test_ordered_transform_is_inverted_and_ascends(k, seed):
    names = [f"n{i}" for i in range(k)]
    space = pair(*names, "other", ordered=[names])
    u = np.random.default_rng(seed).uniform(0.01, 0.99, (20, k + 1))
    theta = space.transform(u)
    assert (np.diff(theta[:, :k], axis=1) >= 0).all()
    assert space.contains(theta).all()
    assert_allclose(space.inverse_transform(theta), u, atol=1e-6)


def test_order_is_that_of_sorted_independent_draws():
    """Two-sample tests against sorting what is drawn without an order."""
    names = ["a", "b", "c"]
    ordered = pair(*names, ordered=[names]).sample(4000, random_state=0)
    by_hand = np.sort(pair(*names).sample(4000, random_state=1), axis=1)
    for i in range(3):
        assert stats.ks_2samp(ordered[:, i], by_hand[:, i]).pvalue > 1e-3
    assert stats.ks_2samp(
        ordered[:, 1] / ordered[:, 0], by_hand[:, 1] / by_hand[:, 0]
    ).pvalue > 1e-3  # fmt: skip


def test_order_multiplies_the_density():
    free, ordered = pair("a", "b"), pair("a", "b", ordered=[("a", "b")])
    up, down = [1e3, 1e4], [1e4, 1e3]
    assert_allclose(ordered.log_prob(up), free.log_prob(up) + np.log(2))
    assert ordered.log_prob(down) == -np.inf
    assert ordered.contains(up) and not ordered.contains(down)
    assert ordered != free and clone(ordered) == ordered
    assert "a <= b" in repr(ordered)


@pytest.mark.parametrize(
    ("ordered", "message"),
    [
        ([("a", "z")], "'z', which is no parameter"),
        ([("a",)], "two or more parameters"),
        ([("a", "a")], "each named once"),
        ([("a", "b"), ("b", "c")], "each named once"),
    ],
)
def test_bad_orders(ordered, message):
    with pytest.raises(ValueError, match=message):
        pair("a", "b", "c", ordered=ordered).transform([[0.5, 0.5, 0.5]])


def test_only_equal_distributions_are_put_in_order():
    space = ParameterSpace(
        {"a": Uniform(0, 1), "b": Uniform(0, 2)}, ordered=[("a", "b")]
    )
    with pytest.raises(ValueError, match="distributions differ"):
        space.sample(3)


def test_part_of_an_order_cannot_be_selected():
    space = pair("a", "b", "c", ordered=[("a", "b")])
    assert space.select(["b", "a"]).ordered == [("a", "b")]
    assert space.select(["c"]).ordered is None
    with pytest.raises(ValueError, match="all or none"):
        space.select(["a", "c"])


def test_spaces_are_values_of_a_grid():
    """NumPy makes arrays of such values; a space is none of its sequences."""
    from sklearn.model_selection import ParameterGrid

    assert list(SPACE) == SPACE.names
    assert len(ParameterGrid({"prior": [SPACE, pair("a", "b")]})) == 2
    with pytest.raises(KeyError, match="No parameter 0"):
        SPACE[0]
