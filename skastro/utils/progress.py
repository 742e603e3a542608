"""The course of a long fit: a bar, and scikit-learn's callbacks where it has them."""

import functools

try:  # scikit-learn 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:
        """Older versions of scikit-learn have no callbacks."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


class LongFit(CallbackSupportMixin):
    """Mixin of estimators whose `fit`, under `long_fit`, opens a `Progress`."""


def long_fit(fit):
    """Let callbacks see a fit begin and end, whatever happens in between.

    The outermost decorator of `fit`.
    """

    @functools.wraps(fit)
    def watched(self, X, y=None, *args, **kwargs):
        result = fit(self, X, y, *args, **kwargs)
        if hasattr(self, "_init_callback_context"):
            if not hasattr(self, "_callback_fit_ctx"):
                _begin(self, 0)
            # the fitted estimator itself, as a callback may want to score it
            self._callback_fit_ctx.call_on_fit_task_end(
                estimator=self, X=X, y=y, reconstruction_attributes=dict
            )
        return result

    return with_callbacks(watched)


def _begin(estimator, total):
    """Tell callbacks that a fit of so many steps begins."""
    context = estimator._init_callback_context(max_subtasks=total)
    context.call_on_fit_task_begin(estimator=estimator)
    return context


class Progress:
    """The steps of a fit, shown by a bar if asked and to callbacks if there are any.

    A context manager.

    Parameters
    ----------
    estimator : LongFit
        Whose `fit`, decorated with `long_fit`, this is in. Callbacks see the first
        `Progress` of a fit.
    total : int or None
        Number of steps, at most; callbacks do not see any beyond. None if it is not
        known.
    description : str
        What the bar calls them.
    unit : str, default="it"
        What the bar counts.
    bar : bool, default=True
        Whether to show one, if the estimator's `verbose` asks for it.
    """

    def __init__(self, estimator, total, description, unit="it", bar=True):
        self._estimator = estimator
        self._total = total
        self._description = description
        self._unit = unit
        self._show = bar
        self._context = None
        self._n_steps = 0

    def __enter__(self):
        from tqdm.auto import tqdm

        self._bar = tqdm(
            total=self._total,
            desc=self._description,
            unit=self._unit,
            disable=not (self._show and self._estimator.verbose),
        )
        watched = hasattr(self._estimator, "_init_callback_context")
        if watched and not hasattr(self._estimator, "_callback_fit_ctx"):
            self._context = _begin(self._estimator, self._total)
        return self

    def step(self, **shown):
        """Count a step as done.

        Parameters
        ----------
        **shown : dict
            What the bar shows beside its count.

        Returns
        -------
        stop : bool
            Whether a callback asks the fit to end here.
        """
        if shown:
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update()
        self._n_steps += 1
        if self._context is None:
            return False
        if self._total is not None and self._n_steps > self._total:
            return False
        task = self._context.subcontext(task_name=self._unit)
        task.call_on_fit_task_begin(estimator=self._estimator)
        return bool(task.call_on_fit_task_end(estimator=self._estimator))

    def __exit__(self, *error):
        self._bar.close()
