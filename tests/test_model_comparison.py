"""Models are compared by the evidence of the same objects."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from skastro.metrics import compare_models, log_evidence_scorer
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval, Posterior, Posteriors

SPACE = ParameterSpace({"level": Uniform(-50, 50)})
NO_WORD = "ignore:Some models have no evidence"


def posterior(log_evidence, err=0.0):
    samples = np.zeros((2, 1))
    half = np.full(2, 0.5)
    return Posterior(SPACE, samples, samples, half, half, log_evidence, err)


def posteriors(log_evidence, err=0.0):
    """Of objects with these evidences; NaN for an object without."""
    errors = np.broadcast_to(err, np.shape(log_evidence))
    return Posteriors(
        [
            None if np.isnan(z) else posterior(z, e)
            for z, e in zip(log_evidence, errors, strict=True)
        ],
        SPACE,
    )


def two(differences, err=0.0, **arguments):
    """Compare "A" with "B", which is better by these differences."""
    differences = np.asarray(differences, dtype=float)
    models = {
        "A": posteriors(np.full(len(differences), -10.0)),
        "B": posteriors(differences - 10.0, err),
    }
    return compare_models(models, **arguments)


# -- sums


def test_logarithms_add_up_and_errors_in_quadrature():
    comparison = two([1.0, 2.0, -0.5], [0.3, 0.4, 1.2])
    assert comparison.best == "B"
    assert_allclose(comparison.total_log_evidence, [-30.0, -27.5])
    assert_allclose(comparison.total_log_evidence_err, [0.0, 1.3])
    assert_allclose(comparison.log_odds(), [2.5, 1.3])
    assert_allclose(comparison.differences(), [[1.0, 2.0, -0.5], [0.3, 0.4, 1.2]])
    expected = 1 / (1 + np.exp([2.5, -2.5]))
    assert_allclose(comparison.probabilities, expected)
    assert_allclose(comparison.object_probabilities[1, 1], 1 / (1 + np.exp(-2)))


def test_a_prior_of_the_models_enters_once_and_not_for_each_object():
    comparison = two([1.0, 1.0], model_prior={"A": 3, "B": 1})
    assert_allclose(comparison.model_prior, [0.75, 0.25])
    assert_allclose(comparison.log_odds()[0], 2.0 - np.log(3.0))
    other = two([1.0, 1.0], model_prior={"B": 1e-9, "A": 1.0})
    assert other.best == "A" and other.carrying_objects() == [0, 1]


def test_a_thousand_objects_do_not_overflow():
    comparison = two(np.full(1000, 5.0), 0.1)
    assert_allclose(comparison.probabilities, [0.0, 1.0])
    assert_allclose(comparison.log_odds(), [5000.0, 0.1 * 1000**0.5])


def test_the_order_of_objects_and_models_does_not_matter():
    rng = np.random.default_rng(0)
    values, err = rng.normal(-10, 2, (3, 9)), rng.uniform(0, 0.3, (3, 9))
    labels = list("abcdefghi")

    def compare(models, objects):
        return compare_models(
            {"KLM"[k]: posteriors(values[k][objects], err[k][objects]) for k in models},
            objects=[labels[i] for i in objects],
        )

    first = compare([0, 1, 2], range(9))
    turned = compare([2, 0, 1], rng.permutation(9))
    assert first.best == turned.best
    assert_allclose(first.probabilities[[2, 0, 1]], turned.probabilities)
    assert_allclose(first.log_odds(), turned.log_odds())
    assert first.decisive_objects() == turned.decisive_objects()
    assert first.carrying_objects() == turned.carrying_objects()
    told, again = (str(c).partition("Not known")[0] for c in (first, turned))
    assert told == again


# -- verdicts, and whose they are


def test_verdicts_allow_for_numerical_errors():
    asked = np.log(150.0)
    assert two([asked + 0.1]).verdict() == "preferred"
    assert two([asked - 0.1]).verdict() == "open"
    assert two([asked + 0.1], 0.1).verdict() == "not resolved"
    assert two([asked - 0.1], 0.1).verdict() == "not resolved"
    assert two([asked + 0.3], 0.1).verdict() == "preferred"
    assert two([asked - 0.1], odds=100.0).verdict() == "preferred"


def test_one_object_decides_for_all():
    comparison = two([0.5, 8.0, -0.2, 0.3], objects=["a", "b", "c", "d"])
    assert comparison.verdict() == "preferred"
    assert comparison.decisive_objects() == ["b"]
    assert comparison.carrying_objects() == ["b"]
    table = comparison.to_object_table()
    assert_allclose(table["log_odds_without"], [8.1, 0.6, 8.8, 8.3])
    assert list(table["decides"]) == [False, True, False, False]
    assert table.meta["models"] == ("B", "A")
    assert "Each of these alone decides: 'b'." in repr(comparison)


def test_where_none_decides_alone_some_do_together():
    comparison = two([3.0, 1.0, 4.0, 2.5, -0.5])
    assert comparison.decisive_objects() == []
    # 10 in all; without 4 there are 6, above ln 150, and without 4 and 3 only 3
    assert comparison.carrying_objects() == [2, 0]
    assert "It takes 2 to undo it: 2, 0." in comparison.summary()


def test_an_object_against_it_can_keep_it_open():
    comparison = two([3.0, 3.5, -4.0])
    assert comparison.verdict() == "open"
    assert comparison.decisive_objects() == [2]
    assert comparison.carrying_objects() == []


def test_an_object_can_turn_the_verdict_round():
    comparison = two([-6.0, -6.0, 30.0])
    assert comparison.best == "B" and comparison.decisive_objects() == [2]
    assert comparison.to_object_table()["log_odds_without"][2] == -12.0


def test_a_rival_by_name():
    models = {"A": posterior(-3.0), "B": posterior(-1.0), "C": posterior(-2.0)}
    comparison = compare_models(models)
    assert comparison.log_odds()[0] == 1.0
    assert comparison.log_odds("A")[0] == 2.0
    assert list(comparison.to_table()["model"]) == ["B", "C", "A"]
    assert_allclose(comparison.to_table()["difference"], [0.0, -1.0, -2.0])
    with pytest.raises(ValueError, match="`rival`='a' is none.*Did you mean 'A'"):
        comparison.log_odds("a")
    with pytest.raises(ValueError, match="most probable model itself"):
        comparison.differences("B")


# -- objects without an evidence


def test_objects_without_evidence_are_left_out_of_every_sum_and_named():
    models = {
        "A": posteriors([-1.0, -2.0, np.nan, np.nan]),
        "B": posteriors([-1.0, -2.0, -900.0, np.nan]),
    }
    with pytest.warns(UserWarning, match="'A' of 'x'. These.*against the model"):
        comparison = compare_models(models, objects=["u", "v", "x", "y"])
    assert_allclose(comparison.total_log_evidence, [-3.0, -3.0])
    assert comparison.missing == {"A": ["x", "y"], "B": ["y"]}
    assert list(comparison.compared) == [True, True, False, False]
    assert "without an evidence of 'A': 'x', 'y'." in comparison.summary()
    assert np.isnan(comparison.differences()[0][2:]).all()
    assert comparison.to_table().meta["n_objects"] == 2


@pytest.mark.filterwarnings(NO_WORD)
def test_objects_without_evidence_decide_nothing():
    comparison = two([4.0, np.nan, 4.0])
    assert comparison.decisive_objects() == [0, 2]
    assert not comparison.to_object_table()["decides"][1]
    assert two([8.0, np.nan, 8.0]).carrying_objects() == [0, 2]


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="No object has an evidence of every model"):
        two([np.nan, np.nan])


# -- what it refuses


@pytest.mark.parametrize(
    ("models", "arguments", "error", "message"),
    [
        ([posterior(0), posterior(1)], {}, TypeError, "`models` must be a mapping"),
        ({"A": posterior(0)}, {}, ValueError, "two models or more"),
        ({"A": posterior(0), "B": 3}, {}, TypeError, "'B' of `models` must be"),
        (
            {"A": posterior(0), "B": posteriors([1, 2])},
            {},
            ValueError,
            "different numbers of objects: {'A': 1, 'B': 2}",
        ),
        (
            {"A": posterior(0), "B": posterior(0, np.nan)},
            {},
            ValueError,
            "`log_evidence_err` of 'B' is nan for object 0",
        ),
        ({"A": posterior(0), "B": posterior(0)}, {"odds": 1}, ValueError, "above 1"),
        (
            {"A": posterior(0), "B": posterior(0)},
            {"objects": ["x", "y"]},
            ValueError,
            "label for each of 1 objects",
        ),
        (
            {"A": posterior(0), "B": posterior(0)},
            {"model_prior": {"A": 1}},
            ValueError,
            "number for each of the models",
        ),
        (
            {"A": posterior(0), "B": posterior(0)},
            {"model_prior": {"A": 1, "B": 0}},
            ValueError,
            "must be positive",
        ),
    ],
)
def test_refused(models, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        compare_models(models, **arguments)


def test_not_fitted():
    retrieval = BayesianRetrieval(lambda theta, X: theta, SPACE)
    with pytest.raises(ValueError, match="'A' of `models` is not fitted"):
        compare_models({"A": retrieval, "B": retrieval})


# -- fits, which remember their data

X = np.array([[0.0], [1.0], [2.0]])
Y = np.array([[1.0, 1.2, np.nan], [0.8, 2.0, 3.1]])


class Level:
    """A level, the same in every named line."""

    output_names = ["CO(1-0)", "CO(2-1)", "CO(3-2)"]
    parameter_names = ["level"]

    def __init__(self, names=("CO(1-0)", "CO(2-1)", "CO(3-2)"), unit=None):
        self.output_names = list(names)
        if unit:
            self.output_unit = unit

    def predict(self, theta):
        return np.repeat(theta, len(self.output_names), axis=1)


def level(theta, X):
    return theta + 0.0 * X[:, 0]


def fit(X=X, y=Y, sigma=0.5, model=level, **arguments):
    retrieval = BayesianRetrieval(
        model, SPACE, sampler="importance", random_state=0, objects="rows"
    )
    return retrieval.fit(X, y, sigma=sigma, **arguments)


@pytest.fixture(scope="module")
def fitted():
    return fit()


def test_evidence_of_a_level_is_exact(fitted):
    """A level of a wide prior: the evidence is a Gaussian integral."""
    for i, y in enumerate(Y):
        y = y[~np.isnan(y)]
        n = len(y)
        exact = (
            stats.norm.logpdf(y, y.mean(), 0.5).sum()
            + 0.5 * np.log(2 * np.pi * 0.25 / n)
            - np.log(100)
        )
        err = fitted.log_evidence_err_[i]
        assert abs(fitted.log_evidence_[i] - exact) < 5 * err
    scored = log_evidence_scorer(fitted, X, Y)
    comparison = compare_models({"A": fitted, "B": fitted.posterior_})
    assert_allclose(comparison.total_log_evidence, scored)
    assert comparison.unchecked == ["B"]
    assert "from posteriors alone: 'B'" in comparison.summary()


def test_the_same_data_may_be_turned_and_rounded(fitted):
    order = [2, 0, 1]
    other = fit(X[order], Y[:, order].astype(np.float32), np.full(3, 0.5))
    comparison = compare_models({"A": fitted, "B": other})
    assert comparison.unchecked == []
    # a line that no object has is no difference
    more = fit(np.r_[X, [[7.0]]], np.c_[Y, [np.nan, np.nan]])
    compare_models({"A": fitted, "B": more})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"y": np.where(Y == 2.0, 2.1, Y)}, "`y` of line 1 of object 1: 2.0"),
        ({"y": np.nan_to_num(Y)}, "`y` of line 2 of object 0: nan"),
        ({"sigma": 0.6}, "`sigma` of line 0 of object 0: 0.5 .* and 0.6"),
        ({"X": X + 1}, r"own: \[\(0.0,\)\] in the one and \[\(3.0,\)\]"),
        ({"X": X[:2], "y": Y[:, :2]}, r"own: \[\(2.0,\)\] in the one and \[\]"),
        ({"upper_limit": Y == 3.1}, "`upper_limit` of line 2 of object 1"),
    ],
)
def test_other_data_are_refused(fitted, change, what):
    with pytest.raises(ValueError, match=f"'A' and 'B' .*different data.*{what}"):
        compare_models({"A": fitted, "B": fit(**change)})


def test_lines_are_known_by_their_names_and_not_their_positions(fitted):
    names = ["CO(3-2)", "CO(2-1)", "CO(1-0)"]
    first = fit(names, model=Level())
    turned = fit(names, model=Level(["CO(2-1)", "CO(3-2)", "CO(1-0)"]))
    compare_models({"A": first, "B": turned, "callable": fitted})
    other = fit(names[::-1], model=Level())
    with pytest.raises(ValueError, match=r"of line CO\(1-0\) of object 0"):
        compare_models({"A": first, "B": other})
    with pytest.raises(ValueError, match=r"own: \['CO\(1-0\)'\] .* \['HCN\(1-0\)'\]"):
        model = Level(["CO(3-2)", "HCN(1-0)", "CO(2-1)"])
        compare_models({"A": first, "B": fit(model.output_names, model=model)})


def test_units_must_agree_since_evidence_is_a_density():
    kelvin, milli = (fit([[0], [1], [2]], model=Level(unit=u)) for u in ("K", "mK"))
    with pytest.raises(ValueError, match="the unit of `y`: K in the one and mK"):
        compare_models({"A": kelvin, "B": milli})


# -- the likelihood of what was fitted


def test_log_likelihood(fitted):
    theta = np.array([[0.0], [1.5]])
    expected = [
        [np.nansum(stats.norm.logpdf(y, t, 0.5)) for t in theta[:, 0]] for y in Y
    ]
    assert_allclose(fitted.log_likelihood(theta), expected)
    own = np.array([[[0.0]], [[1.5]]])
    assert_allclose(fitted.log_likelihood(own)[:, 0], np.diag(expected))
    # as its sampler saw it
    for i, found in enumerate(fitted.posterior_):
        values = fitted.log_likelihood(found.weighted_samples)[i]
        assert_allclose(values, found.log_likelihoods)


def test_log_likelihood_of_one_object_without_a_solution_and_of_none():
    def half(theta, X):
        return np.where(theta > 0, level(theta, X), np.nan)

    with pytest.warns(UserWarning, match="no solution"):
        single = fit(y=Y[1], model=half)
    expected = stats.norm.logpdf(Y[1], 2.0, 0.5).sum()
    assert_allclose(single.log_likelihood([[2.0], [-2.0]]), [expected, -np.inf])
    with pytest.warns(UserWarning, match="have no data"):
        without = fit(y=np.r_[Y, np.full((1, 3), np.nan)])
    assert np.isnan(without.log_likelihood([[2.0]])).ravel().tolist() == [0, 0, 1]


def test_log_likelihood_refuses_what_does_not_fit(fitted):
    for shape in ((1,), (4, 2), (3, 4, 1)):
        with pytest.raises(ValueError, match=r"`theta` must be of shape \(n_draws, 1"):
            fitted.log_likelihood(np.zeros(shape))
    with pytest.raises(ValueError, match=r"`theta` must be finite.*\['level'\]"):
        fitted.log_likelihood([[np.nan]])
