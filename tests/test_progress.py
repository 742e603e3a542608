"""The course of a long fit: bars and scikit-learn's callbacks."""

import inspect

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skastro.utils.progress import LongFit, Progress, long_fit

X, Y = np.arange(12.0)[:, None], np.arange(12.0)


class Counter(LongFit, RegressorMixin, BaseEstimator):
    """Counts its steps, in two loops of which callbacks see the first."""

    def __init__(self, n_steps=5, verbose=0, loops=2):
        self.n_steps = n_steps
        self.verbose = verbose
        self.loops = loops

    @long_fit
    def fit(self, X, y=None, sigma=None):
        self.n_iter_ = 0
        for _ in range(self.loops):
            with Progress(self, self.n_steps, "counting", "step") as progress:
                for _ in range(self.n_steps):
                    self.n_iter_ += 1
                    if progress.step(change="1e-3"):
                        return self
        if self.n_steps > 90:
            raise RuntimeError("too many")
        return self

    def predict(self, X):
        return np.zeros(len(X))


class Watcher:
    """Notes what it sees; stops a fit after some steps."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.seen = []

    def setup(self, estimator, context):
        self.seen.append("setup")

    def teardown(self, estimator, context):
        self.seen.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.seen.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        fitted = "" if fitted_estimator is None else " fitted"
        self.seen.append(f"end {context.task_name}{fitted}")
        n_steps = sum(entry == "end step" for entry in self.seen)
        return self.stop_after is not None and n_steps >= self.stop_after


def test_bars_are_shown_where_asked(capsys):
    Counter(verbose=1).fit(X, Y)
    shown = capsys.readouterr().err
    assert "counting" in shown
    assert "5/5" in shown
    assert "change=1e-3" in shown
    Counter().fit(X, Y)
    assert capsys.readouterr().err == ""


def test_fits_keep_their_signature():

    assert list(inspect.signature(Counter.fit).parameters) == [
        "self",
        "X",
        "y",
        "sigma",
    ]
    assert Counter(loops=0).fit(X, y=Y, sigma=1).n_iter_ == 0


callbacks = pytest.importorskip(
    "sklearn.callback", reason="callbacks came with scikit-learn 1.9"
)


def test_callbacks_see_every_step():
    watcher = Watcher()
    Counter(n_steps=2).set_callbacks(watcher).fit(X, Y)
    assert watcher.seen == [
        "setup",
        "begin fit",
        *["begin step", "end step"] * 2,
        "end fit fitted",
        "teardown",
    ]


def test_callbacks_see_a_fit_without_steps():
    watcher = Watcher()
    Counter(loops=0).set_callbacks(watcher).fit(X, Y)
    assert watcher.seen == ["setup", "begin fit", "end fit fitted", "teardown"]


def test_callbacks_may_stop_a_fit():
    counter = Counter(n_steps=50).set_callbacks(Watcher(stop_after=3)).fit(X, Y)
    assert counter.n_iter_ == 3


def test_callbacks_are_torn_down_where_a_fit_fails():
    watcher = Watcher()
    with pytest.raises(RuntimeError, match="too many"):
        Counter(n_steps=91).set_callbacks(watcher).fit(X, Y)
    assert watcher.seen[-1] == "teardown"
    assert "end fit fitted" not in watcher.seen


def test_callbacks_come_from_searches_and_pipelines(capsys):
    pytest.importorskip("rich", reason="scikit-learn's bar needs rich")
    pipeline = make_pipeline(StandardScaler(), Counter())
    grid = {"counter__n_steps": [2, 4]}
    search = GridSearchCV(pipeline, grid, cv=3)
    monitor = callbacks.ScoringMonitor(scoring="r2")
    search.set_callbacks(callbacks.ProgressBar()).fit(X, Y)
    assert search.n_splits_ == 3
    Counter().set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs()
    assert log.data[-1]["r2"] == pytest.approx(Counter().fit(X, Y).score(X, Y))
    assert clone(Counter().set_callbacks(monitor))._skl_callbacks == [monitor]
