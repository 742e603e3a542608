import pickle

import joblib
import numpy as np
import pytest
import torch
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

from skastro.emulation import (
    PUBLISHED_PARAMETERS,
    EmulatorRegressor,
    ExtrapolationWarning,
)
from skastro.testing import (
    check_missing_equals_masked,
    check_refit_identical,
    check_row_permutation,
    check_tables,
    parameter_spaces,
)
from skastro.utils.emulator_range import training_domain

QUICK = {"hidden_layer_sizes": (32, 32), "max_epochs": 300, "random_state": 0}


@pytest.fixture(scope="module")
def smooth():
    """A smooth function of three inputs with two outputs."""
    X = np.random.default_rng(0).uniform(-1, 1, (1200, 3))
    y = np.column_stack(
        [np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2], np.exp(X[:, 0]) * X[:, 1]]
    )
    return X[:1000], y[:1000], X[1000:], y[1000:]


@pytest.fixture(scope="module")
def fitted(smooth):
    X, y, _, _ = smooth
    return EmulatorRegressor(**QUICK, extrapolation="ignore").fit(X, y)


def test_learns_a_smooth_function(fitted, smooth):
    _, _, X, y = smooth
    residual = fitted.predict(X) - y
    assert np.sqrt(np.mean(residual**2)) < 0.01 * y.std()


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "selu", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_evaluation_is_torch_evaluation(smooth, activation, dtype):
    X, y, X_test, _ = smooth
    emulator = EmulatorRegressor(
        (16, 8),
        activation=activation,
        max_epochs=2,
        random_state=0,
        extrapolation="ignore",
    ).fit(X[:100].astype(dtype), y[:100])
    Z = (X_test - emulator.feature_shift_) / emulator.feature_scale_
    with torch.no_grad():
        expected = emulator.nets_[0][0].module_(torch.from_numpy(Z).float()).numpy()
    expected = expected * emulator.target_scale_ + emulator.target_shift_
    prediction = emulator.predict(X_test.astype(dtype))
    assert prediction.dtype == dtype
    assert_allclose(prediction, expected, atol=1e-5)


@given(st.integers(1, 2500), st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=20)
def test_rows_do_not_depend_on_their_batch(fitted, n, seed):
    X = np.random.default_rng(seed).uniform(-1, 1, (n, 3))
    together = fitted.predict(X)
    rows = np.random.default_rng(seed).integers(n, size=3)
    assert_allclose(together[rows], fitted.predict(X[rows]), rtol=1e-10)


def test_gradient_is_the_derivative(fitted, smooth):
    _, _, X, _ = smooth
    gradient = fitted.predict_gradient(X[:20])
    assert gradient.shape == (20, 2, 3)
    step = 1e-5
    for j in range(3):
        shift = np.zeros(3)
        shift[j] = step
        numerical = (
            fitted.predict(X[:20] + shift) - fitted.predict(X[:20] - shift)
        ) / (2 * step)
        assert_allclose(gradient[:, :, j], numerical, atol=1e-3)


def test_gradient_of_one_output(smooth):
    X, y, X_test, _ = smooth
    emulator = EmulatorRegressor(**QUICK, extrapolation="ignore").fit(X, 3 * X[:, 1])
    gradient = emulator.predict_gradient(X_test)
    assert gradient.shape == X_test.shape
    assert_allclose(gradient.mean(axis=0), [0, 3, 0], atol=0.05)


def test_ensemble_spread_grows_outside_the_training_range(smooth):
    X, y, X_test, _ = smooth
    emulator = EmulatorRegressor(
        (16, 16), max_epochs=300, n_members=3, random_state=0, extrapolation="ignore"
    ).fit(X, y)
    mean, std = emulator.predict(X_test, return_std=True)
    assert mean.shape == std.shape == (200, 2)
    assert (std > 0).all()
    _, far = emulator.predict(3 * X_test, return_std=True)
    assert np.median(far) > 3 * np.median(std)
    # the mean of the members is what is returned
    members = [
        net.module_(
            torch.from_numpy(
                (X_test - emulator.feature_shift_) / emulator.feature_scale_
            ).float()
        )
        .detach()
        .numpy()
        * emulator.target_scale_
        + emulator.target_shift_
        for (net,) in emulator.nets_
    ]
    assert_allclose(mean, np.mean(members, axis=0), atol=1e-5)
    assert_allclose(std, np.std(members, axis=0, ddof=1), atol=1e-5)


def test_separate_outputs_have_separate_networks(smooth):
    X, y, X_test, y_test = smooth
    emulator = EmulatorRegressor(
        **QUICK, separate_outputs=True, extrapolation="ignore", n_members=2
    ).fit(X, y)
    assert [len(nets) for nets in emulator.nets_] == [2, 2]
    assert emulator.score(X_test, y_test) > 0.99
    assert emulator.predict_gradient(X_test).shape == (200, 2, 3)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_refits_are_bit_identical_however_many_jobs(smooth, n_jobs):
    X, y, X_test, _ = smooth
    emulator = EmulatorRegressor(
        (16,), max_epochs=10, n_members=2, random_state=3, extrapolation="ignore"
    )
    first = emulator.fit(X, y).predict(X_test)
    again = clone(emulator).set_params(n_jobs=n_jobs).fit(X, y).predict(X_test)
    assert_array_equal(first, again)
    other = clone(emulator).set_params(random_state=4).fit(X, y).predict(X_test)
    assert (first != other).any()


@pytest.mark.parametrize("extrapolation", ["raise", "warn", "nan", "ignore"])
def test_extrapolation_policy(smooth, extrapolation):
    X, y, _, _ = smooth
    emulator = EmulatorRegressor(
        (8,), max_epochs=1, extrapolation=extrapolation, random_state=0
    ).fit(X, y)
    inside, outside = np.zeros((1, 3)), np.array([[0.0, 5.0, 0.0]])
    assert_array_equal(emulator.in_domain(np.vstack([inside, outside])), [True, False])
    emulator.predict(inside)
    message = r"row 0, has feature 1 = 5 where \[-1"
    if extrapolation == "raise":
        with pytest.raises(ValueError, match=message):
            emulator.predict(outside)
    elif extrapolation == "warn":
        with pytest.warns(ExtrapolationWarning, match=message):
            emulator.predict(outside)
    elif extrapolation == "nan":
        both = emulator.predict(np.vstack([inside, outside]))
        assert_array_equal(np.isnan(both), [[False, False], [True, True]])
        assert np.isnan(emulator.predict_gradient(outside)).all()
    else:
        assert np.isfinite(emulator.predict(outside)).all()


def test_refits_are_bit_identical_in_threads(smooth):
    X, y, X_test, _ = smooth
    emulator = EmulatorRegressor(
        (16,), max_epochs=10, n_members=4, random_state=3, extrapolation="ignore"
    )
    expected = emulator.fit(X, y).predict(X_test)
    with joblib.parallel_config(backend="threading"):
        threaded = clone(emulator).set_params(n_jobs=4).fit(X, y).predict(X_test)
    assert_array_equal(threaded, expected)


def test_early_stopping_completes_a_cycle(smooth):
    X, y, X_test, y_test = smooth
    emulator = EmulatorRegressor(
        **QUICK, early_stopping=True, n_iter_no_change=2, extrapolation="ignore"
    ).fit(X, y)
    assert len(emulator.nets_[0][0].history) == QUICK["max_epochs"]
    assert np.std(emulator.predict(X_test) - y_test) < 0.01


def test_extrapolation_names_the_feature(smooth):
    pd = pytest.importorskip("pandas")
    X, y, _, _ = smooth
    frame = pd.DataFrame(X, columns=["temperature", "density", "metallicity"])
    emulator = EmulatorRegressor((8,), max_epochs=1, extrapolation="raise")
    with pytest.raises(ValueError, match="has density = "):
        emulator.fit(frame, y).predict(frame + [0, 9, 0])


def test_early_stopping_returns_to_the_best_epoch():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (60, 2))
    y = X[:, 0] + rng.normal(0, 1.0, 60)  # noise, to be overfitted
    emulator = EmulatorRegressor(
        (64, 64),
        lr_schedule="constant",
        max_epochs=300,
        early_stopping=True,
        n_iter_no_change=5,
        validation_fraction=0.3,
        random_state=0,
    ).fit(X, y)
    history = emulator.nets_[0][0].history
    losses = history[:, "valid_loss"]
    assert len(losses) < 300
    assert len(losses) == np.argmin(losses) + 1 + 5
    # the weights are those of the best epoch: their loss is the lowest
    net = emulator.nets_[0][0]
    held_out = np.random.RandomState(0).permutation(60)[:18]
    Z = ((X - emulator.feature_shift_) / emulator.feature_scale_)[held_out]
    target = ((y[:, None] - emulator.target_shift_) / emulator.target_scale_)[held_out]
    with torch.no_grad():
        prediction = net.module_(torch.from_numpy(Z).float())
    loss = net.criterion_(prediction, torch.from_numpy(target).float())
    assert_allclose(float(loss), np.min(losses), rtol=1e-5)


def test_published_configuration(smooth):
    X, y, X_test, y_test = smooth
    emulator = EmulatorRegressor(
        **PUBLISHED_PARAMETERS, random_state=0, extrapolation="ignore"
    ).fit(X, y)
    net = emulator.nets_[0][0]
    linear = [m for m in net.module_.modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in linear] == [200, 100, 50, 1]
    assert any(isinstance(m, torch.nn.ReLU) for m in net.module_.modules())
    assert isinstance(net.optimizer_, torch.optim.Adam)
    assert net.lr == 1e-3 and net.max_epochs == 20 and net.batch_size == 500
    assert isinstance(net.criterion_, torch.nn.MSELoss)
    Z = (X - emulator.feature_shift_) / emulator.feature_scale_
    assert_allclose([Z.min(axis=0), Z.max(axis=0)], [[0] * 3, [1] * 3], atol=1e-12)


def test_automatic_number_of_epochs_makes_3000_steps(smooth):
    X, y, _, _ = smooth
    emulator = EmulatorRegressor((2,), batch_size=100, random_state=0).fit(X, y)
    history = emulator.nets_[0][0].history
    assert len(history) * 10 == 3000
    rates = history[:, "batches", :, "event_lr"]
    assert np.argmax(np.ravel(rates)) == pytest.approx(0.15 * 3000, rel=0.05)
    assert np.max(rates) == pytest.approx(1e-2, rel=1e-3)


class Residual(torch.nn.Module):
    """A network of a user's own."""

    def __init__(self, n_features, n_outputs, width=8, depth=1):
        super().__init__()
        self.first = torch.nn.Linear(n_features, width)
        self.blocks = torch.nn.ModuleList(
            torch.nn.Linear(width, width) for _ in range(depth)
        )
        self.last = torch.nn.Linear(width, n_outputs)

    def forward(self, X):
        h = self.first(X)
        for block in self.blocks:
            h = h + torch.tanh(block(h))
        return self.last(h)


def test_module_of_ones_own(smooth):
    X, y, X_test, y_test = smooth
    emulator = EmulatorRegressor(
        module=Residual,
        module_params={"width": 24},
        max_epochs=100,
        random_state=0,
        extrapolation="ignore",
    )
    assert emulator.get_params()["module__width"] == 24
    assert clone(emulator).set_params(module__depth=2).module_params == {
        "width": 24,
        "depth": 2,
    }
    assert emulator.module_params == {"width": 24}
    assert emulator.fit(X, y).score(X_test, y_test) > 0.99
    again = pickle.loads(pickle.dumps(emulator))
    assert_array_equal(again.predict(X_test), emulator.predict(X_test))


def test_grid_search(smooth):
    X, y, _, _ = smooth
    search = GridSearchCV(
        EmulatorRegressor(max_epochs=60, random_state=0, extrapolation="ignore"),
        {"hidden_layer_sizes": [(1,), (24, 24)], "lr": [1e-5, 1e-2]},
        cv=2,
    ).fit(X, y)
    assert search.best_params_ == {"hidden_layer_sizes": (24, 24), "lr": 1e-2}
    search = GridSearchCV(
        EmulatorRegressor(module=Residual, max_epochs=60, extrapolation="ignore"),
        {"module__width": [1, 24], "module__depth": [1]},
        cv=2,
    ).fit(X, y)
    assert search.best_params_["module__width"] == 24


def test_logarithms_of_inputs_and_targets():
    """The recipe for quantities that span decades."""
    rng = np.random.default_rng(0)
    X = 10 ** rng.uniform(0, 4, (800, 2))
    y = 1e-9 * X[:, 0] ** 2 / (X[:, 1] + 10)
    emulator = TransformedTargetRegressor(
        make_pipeline(FunctionTransformer(np.log10), EmulatorRegressor(**QUICK)),
        func=np.log10,
        inverse_func=lambda y: 10**y,
    ).fit(X[:700], y[:700])
    inner = emulator.regressor_[-1].set_params(extrapolation="ignore")
    assert inner.n_outputs_ == 1
    ratio = emulator.predict(X[700:]) / y[700:]
    assert np.quantile(np.abs(np.log(ratio)), 0.95) < 0.03


def test_cross_validation(smooth):
    X, y, _, _ = smooth
    emulator = EmulatorRegressor(**QUICK, extrapolation="ignore")
    assert cross_val_score(emulator, X, y, cv=3).min() > 0.99


def test_constant_columns():
    X = np.column_stack([np.linspace(0, 1, 50), np.full(50, 7.0)])
    y = np.column_stack([X[:, 0], np.full(50, -2.0)])
    emulator = EmulatorRegressor((8,), max_epochs=100, random_state=0).fit(X, y)
    prediction = emulator.predict(X)
    assert np.isfinite(prediction).all()
    assert_array_equal(prediction[:, 1], -2.0)
    assert_array_equal(emulator.predict_gradient(X)[:, 1], 0.0)


def test_callbacks_and_progress_bar(smooth, capsys):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            Count.epochs += 1

    X, y, _, _ = smooth
    EmulatorRegressor((4,), max_epochs=7, callbacks=[Count()]).fit(X, y)
    assert Count.epochs == 7
    assert capsys.readouterr() == ("", "")
    EmulatorRegressor((4,), max_epochs=7, verbose=1).fit(X, y)
    error = capsys.readouterr().err
    assert "network 1/1" in error and "7/7" in error and "loss=" in error


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(smooth):
    X, y, X_test, y_test = smooth
    cpu = EmulatorRegressor(**QUICK, extrapolation="ignore").fit(X, y)
    cuda = clone(cpu).set_params(device="cuda").fit(X, y)
    assert_allclose(cuda.predict(X_test), cpu.predict(X_test), atol=0.05 * y.std())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": ()}, "positive integers"),
        ({"hidden_layer_sizes": (0,)}, "positive integers"),
        ({"hidden_layer_sizes": (8.9,)}, "positive integers"),
        ({"device": "gpu"}, "`device` is 'gpu'"),
        ({"module_params": {"width": 3}}, "`module` is None"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "leaves none"),
        ({"lr": -1.0}, "'lr' parameter"),
    ],
)
def test_bad_parameters(smooth, parameters, message):
    X, y, _, _ = smooth
    with pytest.raises(ValueError, match=message):
        EmulatorRegressor(**parameters).fit(X[:50], y[:50])


def test_bad_data(smooth, fitted):
    X, y, X_test, _ = smooth
    with pytest.raises(ValueError, match="NaN"):
        EmulatorRegressor().fit(X, np.where(y > 1, np.nan, y))
    with pytest.raises(ValueError, match="needs an ensemble"):
        fitted.predict(X_test, return_std=True)
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict([[np.nan, 0.0, 0.0]])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device(smooth):
    X, y, _, _ = smooth
    with pytest.raises(ValueError, match="no CUDA device"):
        EmulatorRegressor(device="cuda").fit(X, y)
    EmulatorRegressor((4,), max_epochs=1, device="auto").fit(X, y)


# -- one door


X = np.random.default_rng(5).uniform(-1, 1, (80, 2))
Y = np.sin(X[:, 0]) + X[:, 1]


def small(**params):
    params = {"max_epochs": 30, "batch_size": 32, "random_state": 0} | params
    return EmulatorRegressor((16,), **params)


def test_masked_targets_and_inputs_are_refused():
    masked = np.ma.array(np.where(np.arange(80) == 7, 1e8, Y), mask=np.arange(80) == 7)
    message = r"EmulatorRegressor cannot use missing values, and `y` has 1.*row 7"
    with pytest.raises(ValueError, match=message):
        small().fit(X, masked)
    with pytest.raises(ValueError, match="`X` has 1.*row 3, column 1"):
        small().fit(np.ma.array(X, mask=np.arange(160).reshape(80, 2) == 7), Y)
    for data, target in ((X * u.K, Y), (X, Y * u.K)):
        with pytest.raises(TypeError, match="carries the unit K"):
            small().fit(data, target)
    check_missing_equals_masked(small(), np.where(X > 0.9, np.nan, X), Y)


def test_tables_and_units():
    check_tables(small(extrapolation="ignore"), X, Y)
    check_row_permutation(small(), X, Y)
    check_refit_identical(small(), X, Y)


@pytest.mark.parametrize("unit", [2.0**-99, 2.0**99])
def test_any_unit_in_single_precision(unit):
    """Powers of two change no digit, so that trainings are the same."""
    data, target = X.astype(np.float32), Y.astype(np.float32)
    expected = small().fit(data, target).predict(data)
    found = small().fit(data, target * np.float32(unit)).predict(data)
    assert_array_equal(found / np.float32(unit), expected)
    scaled = data * np.float32(unit)
    assert_array_equal(small().fit(scaled, target).predict(scaled), expected)


@pytest.mark.parametrize("policy", ["raise", "nan", "warn"])
def test_searches_have_finite_scores(policy):
    search = GridSearchCV(
        small(extrapolation=policy), {"max_epochs": [1, 60]}, cv=5, error_score="raise"
    ).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"max_epochs": 60}


@settings(max_examples=20, deadline=None)
@given(parameter_spaces(), st.integers(30, 2000), st.integers(0, 99))
def test_a_new_design_of_the_same_prior_is_in_the_domain(space, n, seed):
    bounded = np.isfinite(space.bounds).all(axis=1)
    domain = training_domain(space.sample_latin_hypercube(n, random_state=seed))
    again = space.sample_latin_hypercube(n, random_state=seed + 1)
    inside = (again >= domain[0]) & (again <= domain[1])
    assert inside[:, bounded].all()
    assert inside.mean() > 0.95  # of distributions without an end


def test_callbacks_see_and_do_not_change_networks():
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")

    class Watcher:
        seen = 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            type(self).seen += context.task_name == "network"

    expected = small(n_members=3).fit(X, Y).predict(X)
    watched = small(n_members=3).set_callbacks(Watcher())
    assert_array_equal(watched.fit(X, Y).predict(X), expected)
    assert Watcher.seen == 3
    assert_array_equal(watched.set_params(n_jobs=2).fit(X, Y).predict(X), expected)
