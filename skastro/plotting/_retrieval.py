"""Pictures of a retrieval: its posterior, and its fit to the data."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..retrieval._line_names import lines_of
from ..utils.arrays import plain


def _axis_labels(posterior):
    """Return axis labels, with the units typeset where astropy knows them."""
    from astropy import units as u

    labels = []
    for label, unit, log in zip(
        posterior.space.labels, posterior.units, posterior.space.log, strict=True
    ):
        text = f"log {label}" if log else label
        if unit:
            parsed = u.Unit(unit, parse_strict="silent")
            text += f" [{parsed.to_string('latex_inline')}]"
        labels.append(text)
    return labels


class CornerDisplay:
    """Posterior of every parameter and every pair of them.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    posterior : Posterior
        What to draw.
    truths : ndarray of shape (n_parameters,), default=None
        True parameters, in their units, to mark.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Where it was drawn.
    """

    def __init__(self, posterior, truths=None):
        self.posterior = posterior
        self.truths = truths

    def plot(self, figure=None, *, color="C0", label=None, **kwargs):
        """Draw the corner plot.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Where; a figure that holds another posterior of the same parameters lays
            this one over it.
        color : color, default="C0"
            Of the contours.
        label : str, default=None
            Name of this posterior in a legend.
        **kwargs : dict
            Passed to ``corner.corner``.

        Returns
        -------
        display : CornerDisplay
        """
        import corner
        from matplotlib.lines import Line2D

        posterior = self.posterior
        truths = None if self.truths is None else posterior.shown(self.truths)
        settings = {
            "bins": 24,
            "smooth": 1.5,
            "smooth1d": 1.0,
            "levels": (0.393, 0.865),
            "plot_datapoints": False,
            "plot_density": False,
            "fill_contours": True,
            "max_n_ticks": 4,
            "label_kwargs": {"fontsize": 9},
            "truth_color": "0.2",
        } | kwargs
        self.figure_ = corner.corner(
            posterior.shown(posterior.samples),
            # posteriors of different size have histograms of equal area
            weights=np.full(len(posterior), 1 / len(posterior)),
            labels=_axis_labels(posterior),
            range=self._range(),
            truths=truths,
            color=color,
            fig=figure,
            **settings,
        )
        for ax in self.figure_.axes:
            ax.tick_params(labelsize=7)
        if label is not None:
            self._legend(Line2D([], [], color=color, label=label))
        return self

    def _legend(self, handle):
        """Add one posterior to the legend in the empty upper corner."""
        handles = [*getattr(self.figure_, "_skastro_handles", []), handle]
        self.figure_._skastro_handles = handles
        self.figure_.legends.clear()
        self.figure_.legend(handles=handles, loc="upper right", frameon=False)

    def _range(self):
        """Show the whole prior where it is bounded, so that its edges can be seen."""
        posterior = self.posterior
        low, high = posterior.shown(posterior.space.bounds.T)
        samples = posterior.shown(posterior.samples)
        low = np.where(np.isfinite(low), low, samples.min(axis=0))
        high = np.where(np.isfinite(high), high, samples.max(axis=0))
        return list(zip(low, high, strict=True))

    @classmethod
    def from_estimator(cls, estimator, *, truths=None, figure=None, **kwargs):
        """Draw the posterior of a fitted retrieval.

        Parameters
        ----------
        estimator : BayesianRetrieval
            Fitted.
        truths : array-like of shape (n_parameters,), default=None
            True parameters to mark, in the prior's order and units.
        figure : matplotlib Figure, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : CornerDisplay
        """
        check_is_fitted(estimator)
        return cls(estimator.posterior_, truths).plot(figure, **kwargs)


class PosteriorPredictiveDisplay:
    """Lines predicted by a retrieval beside the observed ones.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    predictions : ndarray of shape (n_samples, n_rows)
        Posterior predictive draws, without noise.
    y : ndarray of shape (n_rows,)
        Observed intensities.
    sigma : ndarray of shape (n_rows,) or None
        Their errors.
    names : list of str
        Names of the lines.
    unit : str
        Unit of the intensities.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    """

    def __init__(self, predictions, y, sigma, names, unit=""):
        self.predictions = predictions
        self.y = y
        self.sigma = sigma
        self.names = names
        self.unit = unit

    def plot(self, ax=None, *, color="C0"):
        """Draw the predictions as violins and the data as points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; a new figure by default. The axis is logarithmic if all intensities
            are positive.
        color : color, default="C0"
            Of the violins.

        Returns
        -------
        display : PosteriorPredictiveDisplay
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(
                figsize=(1.6 + 1.0 * len(self.names), 3.6), layout="constrained"
            )
        # a line without intensity is not shown, and does not decide
        log = bool((self.predictions > 0).all() and not (np.asarray(self.y) <= 0).any())
        shown = np.log10(self.predictions) if log else self.predictions
        # violins in the logarithm, so that they are smooth on a logarithmic axis
        positions = np.arange(1, len(self.names) + 1)
        low, median, high = np.quantile(shown, [0.1587, 0.5, 0.8413], axis=0)
        # without the last half per cent in each tail, which would set the scale
        body = [
            column[(column >= tails[0]) & (column <= tails[1])]
            for column, tails in zip(
                shown.T, np.quantile(shown, [0.005, 0.995], axis=0).T, strict=True
            )
        ]
        parts = ax.violinplot(body, positions, showextrema=False, widths=0.8)
        for body in parts["bodies"]:
            body.set(facecolor=color, edgecolor=color, alpha=0.35)
        ax.vlines(positions, low, high, color=color, linewidth=4, alpha=0.8)
        ax.plot(positions, median, "_", color=color, markersize=14)
        y, sigma = np.asarray(self.y), self.sigma
        if log:
            bars = None
            if sigma is not None:
                lowest = np.maximum(y - sigma, 1e-3 * y)
                bars = np.log10(y / lowest), np.log10((y + sigma) / y)
            y = np.log10(y)
        else:
            bars = sigma
        ax.errorbar(
            positions,
            y,
            bars,
            fmt="o",
            color="k",
            capsize=3,
            label="observed",
            zorder=3,
        )
        ax.plot(
            [], [], color=color, linewidth=4, alpha=0.6, label="posterior predictive"
        )
        ax.set_xticks(positions, self.names)
        if log:
            ticks = np.arange(np.floor(ax.get_ylim()[0]), np.ceil(ax.get_ylim()[1]) + 1)
            ax.set_yticks(ticks, [rf"$10^{{{int(tick)}}}$" for tick in ticks])
        ax.set_ylabel(f"intensity [{self.unit}]" if self.unit else "intensity")
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, sigma=None, names=None, ax=None, **kwargs
    ):
        """Draw a fitted retrieval's predictions of observed lines.

        Parameters
        ----------
        estimator : BayesianRetrieval
            Fitted.
        X : array-like of shape (n_rows, n_features)
            Lines, as for ``fit``.
        y : array-like of shape (n_rows,)
            Their observed intensities.
        sigma : array-like of shape (n_rows,), default=None
            Their errors.
        names : sequence of str, default=None
            Names of the lines; by default those of the forward model.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : PosteriorPredictiveDisplay
        """
        predictions = estimator.posterior_predictive(X)
        model = estimator.forward_model
        if names is None:
            rows = lines_of(X, model)  # positions, if they were names
            known = getattr(model, "output_names", None)
            names = (
                [f"row {i}" for i in range(len(rows))]
                if known is None
                else [known[int(i)] for i in np.asarray(rows)[:, 0]]
            )
        unit = getattr(model, "output_unit", None)
        y = np.asarray(plain(y, "y", unit=unit), dtype=float)
        sigma = plain(sigma, "sigma", unit=unit)
        display = cls(predictions, y, sigma, list(names), unit or "")
        return display.plot(ax, **kwargs)
