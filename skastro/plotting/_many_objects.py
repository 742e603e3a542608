"""Pictures of retrievals of many objects."""

import numpy as np
from scipy import stats
from sklearn.utils.validation import check_is_fitted

from ..utils.suggestions import closest
from ._retrieval import _axis_labels
from ._sky import label_map


class ParameterMapsDisplay:
    """Maps of retrieved parameters above maps of their uncertainty.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    posteriors : Posteriors
        Of the pixels, row by row.
    map_shape : tuple of int
        Rows and columns of the map.
    wcs : astropy.wcs.WCS, default=None
        Celestial coordinates; axes are in pixels without.
    names : sequence of str, default=None
        Parameters to draw; all by default.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2, n_names)
        Medians, and half of the 68 % intervals.
    figure_ : matplotlib Figure
        Their figure.
    """

    def __init__(self, posteriors, map_shape, *, wcs=None, names=None):
        self.posteriors = posteriors
        self.map_shape = map_shape
        self.wcs = wcs
        self.names = names

    def plot(self, figure=None, *, cmap="viridis"):
        """Draw the maps, in decimal logarithms where the prior asks for them.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Where; a new one by default.
        cmap : str, default="viridis"
            Colours of the medians.

        Returns
        -------
        display : ParameterMapsDisplay
        """
        import matplotlib.pyplot as plt

        space = self.posteriors.space
        names = space.names if self.names is None else list(self.names)
        columns = [space.names.index(name) for name in names]
        lower, median, upper = (
            self.posteriors.shown(values)
            for values in self.posteriors.quantile([0.1587, 0.5, 0.8413])
        )
        labels = _axis_labels(self.posteriors)
        if figure is None:
            figure = plt.figure(figsize=(3.4 * len(names), 5.6), layout="constrained")
        self.axes_ = np.empty((2, len(names)), dtype=object)
        grid = figure.add_gridspec(2, len(names))
        for k, column in enumerate(columns):
            pictures = (
                (median[:, column], cmap, labels[column]),
                ((upper - lower)[:, column] / 2, "magma", "its uncertainty"),
            )
            for row, (values, colours, title) in enumerate(pictures):
                axes = figure.add_subplot(grid[row, k], projection=self.wcs)
                image = axes.imshow(
                    values.reshape(self.map_shape),
                    origin="lower",
                    cmap=colours,
                    interpolation="nearest",
                )
                figure.colorbar(image, ax=axes, pad=0.02)
                axes.set_title(title, fontsize="medium")
                label_map(axes, self.wcs, row == 1)
                self.axes_[row, k] = axes
        self.figure_ = figure
        return self

    @classmethod
    def from_estimator(
        cls, estimator, map_shape, *, wcs=None, names=None, figure=None, **kwargs
    ):
        """Draw the parameters of a retrieval whose objects are pixels.

        Parameters
        ----------
        estimator : BayesianRetrieval
            Fitted to several objects.
        map_shape : tuple of int
            Rows and columns of the map.
        wcs : astropy.wcs.WCS, default=None
            Celestial coordinates.
        names : sequence of str, default=None
            Parameters to draw; all by default.
        figure : matplotlib Figure, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ParameterMapsDisplay

        Raises
        ------
        ValueError
            If the map has not as many pixels as there are objects, or a parameter
            does not exist.
        """
        check_is_fitted(estimator)
        posteriors = estimator.posterior_
        if not hasattr(posteriors, "space") or hasattr(posteriors, "samples"):
            raise ValueError(
                "`estimator` was fitted to one object; a map needs one for each pixel."
            )
        if np.prod(map_shape) != len(posteriors):
            raise ValueError(
                f"`map_shape`={map_shape} has not the {len(posteriors)} objects of"
                " `estimator`."
            )
        unknown = set(names or ()) - set(posteriors.names)
        if unknown:
            raise ValueError(
                f"`names` has {sorted(unknown)}, but the parameters are"
                f" {posteriors.names}."
            )
        display = cls(posteriors, map_shape, wcs=wcs, names=names)
        return display.plot(figure, **kwargs)


class RankDisplay:
    """Ranks of true parameters in their posteriors, which should be uniform.

    Use :meth:`from_calibration` to make one.

    Parameters
    ----------
    calibration : SimulationBasedCalibration
        What to draw.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    """

    def __init__(self, calibration):
        self.calibration = calibration

    def plot(self, ax=None, *, probability=0.95):
        """Draw the cumulative distribution of ranks, less that of uniform ones.

        A curve that leaves the grey band is not uniform at this level: above it, and
        then below, where posteriors are too narrow; below first where too wide.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; a new figure by default.
        probability : float, default=0.95
            Probability that a uniform parameter stays within the band throughout.

        Returns
        -------
        display : RankDisplay
        """
        ax = _draw_ranks(
            ax, self.calibration.names, self.calibration.ranks, probability
        )
        ax.set(
            xlabel="rank of the true value in its posterior",
            ylabel="share of objects, less that expected",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_calibration(cls, calibration, *, ax=None, **kwargs):
        """Draw what :func:`~skastro.metrics.simulation_based_calibration` returned.

        Parameters
        ----------
        calibration : SimulationBasedCalibration
            The ranks.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : RankDisplay
        """
        return cls(calibration).plot(ax, **kwargs)


class JointCoverageDisplay:
    """How often joint credible regions hold the truth, at every level.

    Use :meth:`from_calibration` to make one.

    Parameters
    ----------
    calibration : SimulationBasedCalibration
        What to draw.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    """

    def __init__(self, calibration):
        self.calibration = calibration

    def plot(self, ax=None, *, probability=0.95, regions=None):
        """Draw expected coverage, less the level of the regions.

        A curve that leaves the grey band is not right at this level: regions that hold
        the truth too rarely are below it. Those of likelihood are below where
        posteriors are too narrow, and above where they are too wide.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; a new figure by default.
        probability : float, default=0.95
            Probability that the curve of one kind of region stays within the band
            throughout, if posteriors are right.
        regions : sequence of str, default=None
            Which, of the ``joint_names`` of the calibration; all by default.

        Returns
        -------
        display : JointCoverageDisplay

        Raises
        ------
        ValueError
            If there is no such region.
        """
        known = self.calibration.joint_names
        names = known if regions is None else list(regions)
        for name in names:
            if name not in known:
                raise ValueError(
                    f"`regions` has {name!r}, but they are {known}."
                    + closest(str(name), known)
                )
        ranks = self.calibration.joint_ranks[:, [known.index(n) for n in names]]
        ax = _draw_ranks(ax, names, ranks, probability)
        ax.set(
            xlabel="probability of the joint credible region",
            ylabel="share of truths inside, less that expected",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_calibration(cls, calibration, *, ax=None, **kwargs):
        """Draw what :func:`~skastro.metrics.simulation_based_calibration` returned.

        Parameters
        ----------
        calibration : SimulationBasedCalibration
            The ranks.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : JointCoverageDisplay
        """
        return cls(calibration).plot(ax, **kwargs)


def _draw_ranks(ax, names, ranks, probability):
    """Draw the cumulative distributions of ranks, less that of uniform ones."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    n = len(ranks)
    width = stats.kstwo(n).ppf(probability)
    ax.axhspan(-width, width, color="0.9", zorder=0)
    ax.axhline(0.0, color="0.6", linewidth=0.8)
    uniform = np.arange(1, n + 1) / n
    for name, column in zip(names, ranks.T, strict=True):
        ordered = np.sort(column)
        ax.plot(ordered, uniform - ordered, linewidth=1.2, label=name)
    ax.set(xlim=(0, 1))
    ax.legend(frameon=False, fontsize="small", ncols=2)
    return ax
