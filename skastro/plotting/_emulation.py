"""Pictures of an emulator's error."""

import numpy as np

from ..metrics import error_factor


class EmulatorErrorDisplay:
    """Distribution of an emulator's relative error, a violin an output.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    errors : list of ndarray
        Relative errors, in percent, of each output.
    factors : ndarray of shape (n_outputs,)
        Factor within which 95 % of the predictions agree.
    names : list of str
        Names of the outputs.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    """

    def __init__(self, errors, factors, names):
        self.errors = errors
        self.factors = factors
        self.names = names

    def plot(self, ax=None, *, color="C0", limit=None):
        """Draw the violins.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; a new figure by default.
        color : color, default="C0"
            Of the violins.
        limit : float, default=None
            Half-height of the axis, in percent; by default four times the widest
            95 % factor.

        Returns
        -------
        display : EmulatorErrorDisplay
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(
                figsize=(1.6 + 1.1 * len(self.names), 3.6), layout="constrained"
            )
        if limit is None:
            # infinite where a prediction is not positive, NaN where nothing counts
            finite = self.factors[np.isfinite(self.factors)]
            limit = 400 * (float(finite.max()) - 1) if finite.size else 100.0
            limit = min(limit, 100.0) or 1.0
        inside = [errors[np.abs(errors) < limit] for errors in self.errors]
        parts = ax.violinplot(
            [values if values.size > 1 else np.zeros(2) for values in inside],
            showextrema=False,
            widths=0.85,
            points=200,
        )
        for body in parts["bodies"]:
            body.set(facecolor=color, edgecolor=color, alpha=0.6)
        ax.axhline(0.0, color="0.4", linewidth=0.8)
        for i, (factor, errors) in enumerate(
            zip(self.factors, self.errors, strict=True), start=1
        ):
            ax.annotate(
                f"95 % within {100 * (factor - 1):.2g} %",
                (i, 0.97),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                fontsize="x-small",
            )
            outside = int((np.abs(errors) >= limit).sum())
            if outside:
                ax.annotate(
                    f"{outside} of {len(errors)} outside",
                    (i, 0.03),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    fontsize="x-small",
                    color="0.4",
                )
        ax.set_xticks(range(1, len(self.names) + 1), self.names)
        ax.set_ylim(-limit, limit)
        ax.set_ylabel("error of the emulator [%]")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_predictions(
        cls, y_true, y_pred, *, names=None, minimum=0.0, ax=None, **kwargs
    ):
        """Draw the error of given predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples, n_outputs)
            Simulated and emulated outputs.
        names : sequence of str, default=None
            Names of the outputs.
        minimum : float, default=0.0
            True values of this and less do not count.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EmulatorErrorDisplay
        """
        y_true = np.asarray(y_true, dtype=float).reshape(len(y_true), -1)
        y_pred = np.asarray(y_pred, dtype=float).reshape(len(y_pred), -1)
        factors = error_factor(y_true, y_pred, minimum=minimum)
        errors = []
        for true, pred in zip(y_true.T, y_pred.T, strict=True):
            counts = true > minimum
            errors.append(100 * (pred[counts] / true[counts] - 1))
        if names is None:
            names = [f"output {i}" for i in range(y_true.shape[1])]
        return cls(errors, factors, list(names)).plot(ax, **kwargs)

    @classmethod
    def from_estimator(cls, estimator, X, y, *, names=None, ax=None, **kwargs):
        """Draw the error of an emulator on simulations it has not seen.

        Parameters
        ----------
        estimator : fitted regressor
            The emulator.
        X : array-like of shape (n_samples, n_features)
            Parameters of the simulations.
        y : array-like of shape (n_samples, n_outputs)
            Their outputs.
        names : sequence of str, default=None
            Names of the outputs; by default those of the estimator.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`from_predictions`.

        Returns
        -------
        display : EmulatorErrorDisplay
        """
        if names is None:
            names = getattr(estimator, "output_names", None)
        return cls.from_predictions(
            y, estimator.predict(X), names=names, ax=ax, **kwargs
        )
