"""Pictures of factorisations of line maps."""

import numpy as np

from ..metrics import component_mae, match_components
from ._sky import label_map


class ComponentMapsDisplay:
    """Maps of gas components beside their profiles, a row for each component.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    contributions : ndarray of shape (n_pixels, n_components)
        Maps, row by row.
    components : ndarray of shape (n_components, n_lines)
        Profiles.
    map_shape : tuple of int
        Rows and columns of the maps.
    wcs : astropy.wcs.WCS, default=None
        Celestial coordinates; axes are in pixels without.
    components_std : ndarray of shape (n_components, n_lines), default=None
        Uncertainties of the profiles.
    components_true : ndarray of shape (n_components, n_lines), default=None
        True profiles, in the same order.
    lines : sequence of str, default=None
        Names of the lines.
    names : sequence of str, default=None
        Names of the components.
    unit : str, default=""
        Unit of the profiles.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_components, 2)
        Maps and profiles.
    figure_ : matplotlib Figure
        Their figure.
    """

    def __init__(
        self,
        contributions,
        components,
        map_shape,
        *,
        wcs=None,
        components_std=None,
        components_true=None,
        lines=None,
        names=None,
        unit="",
    ):
        self.contributions = contributions
        self.components = components
        self.map_shape = map_shape
        self.wcs = wcs
        self.components_std = components_std
        self.components_true = components_true
        self.lines = lines
        self.names = names
        self.unit = unit

    def plot(self, figure=None, *, cmap="viridis", color="C0", limit=1e-4):
        """Draw the maps and profiles.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            Where; a new one by default.
        cmap : str, default="viridis"
            Colours of the maps.
        color : color, default="C0"
            Of the profiles.
        limit : float, default=1e-4
            Profiles are drawn in the logarithm down to this share of the brightest
            line of all; fainter lines have no bar.

        Returns
        -------
        display : ComponentMapsDisplay
        """
        import matplotlib.pyplot as plt

        k, n_lines = self.components.shape
        if figure is None:
            figure = plt.figure(figsize=(9.5, 2.6 * k), layout="constrained")
        grid = figure.add_gridspec(k, 2, width_ratios=(1, 1.5))
        lines = (
            [f"line {i}" for i in range(n_lines)] if self.lines is None else self.lines
        )
        names = (
            [f"component {i + 1}" for i in range(k)]
            if self.names is None
            else self.names
        )
        top = self.components.max()
        bottom = top * limit
        self.axes_ = np.empty((k, 2), dtype=object)
        for i in range(k):
            left = figure.add_subplot(grid[i, 0], projection=self.wcs)
            image = left.imshow(
                np.reshape(self.contributions[:, i], self.map_shape),
                origin="lower",
                cmap=cmap,
                interpolation="nearest",
                vmin=0.0,
            )
            figure.colorbar(image, ax=left, pad=0.02)
            left.set_title(names[i])
            last = i == k - 1
            label_map(left, self.wcs, last)
            right = figure.add_subplot(grid[i, 1])
            self._draw_profile(right, i, bottom, color)
            right.set_yscale("log")
            right.set_ylim(bottom, 4 * top)
            right.set_ylabel(f"intensity [{self.unit}]" if self.unit else "intensity")
            right.set_xticks(
                np.arange(n_lines),
                lines if last else [""] * n_lines,
                rotation=45,
                ha="right",
            )
            self.axes_[i] = left, right
        if self.components_true is not None or self.components_std is not None:
            self.axes_[0, 1].legend(frameon=False, ncols=2, fontsize="small")
        self.figure_ = figure
        return self

    def _draw_profile(self, axes, i, bottom, color):
        profile = self.components[i]
        x = np.arange(len(profile))
        seen = profile > bottom
        axes.bar(x[seen], profile[seen] - bottom, 0.7, bottom, color=color, alpha=0.6)
        if self.components_std is not None:
            std = self.components_std[i]
            low = np.minimum(std, profile - bottom)
            axes.errorbar(
                x[seen],
                profile[seen],
                [low[seen], std[seen]],
                fmt="none",
                color="0.2",
                capsize=3,
                label="spread of members" if i == 0 else None,
            )
        if self.components_true is not None:
            axes.plot(
                x,
                self.components_true[i],
                "D",
                color="C3",
                markersize=4,
                label="true" if i == 0 else None,
            )

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        map_shape,
        *,
        sigma=None,
        wcs=None,
        components_true=None,
        lines=None,
        names=None,
        unit="",
        figure=None,
        **kwargs,
    ):
        """Draw the components of a fitted factorisation.

        Parameters
        ----------
        estimator : LineMapNMF or LineMapNMFEnsemble
            Fitted. Uncertainties of an ensemble are drawn as error bars.
        X : array-like of shape (n_pixels, n_lines)
            Line intensities.
        map_shape : tuple of int
            Rows and columns of the maps.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            Errors, if `fit` had them.
        wcs : astropy.wcs.WCS, default=None
            Celestial coordinates.
        components_true : array-like of shape (n_components, n_lines), default=None
            True profiles in any order; components are drawn in theirs.
        lines, names : sequence of str, default=None
            Names of the lines, by default those of the estimator, and of the
            components.
        unit : str, default=""
            Unit of the profiles.
        figure : matplotlib Figure, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ComponentMapsDisplay

        Raises
        ------
        ValueError
            If `map_shape` does not have the pixels of X.
        """
        maps = estimator.transform(X, sigma=sigma)
        if len(map_shape) != 2 or np.prod(map_shape) != len(maps):
            raise ValueError(
                f"`map_shape`={map_shape} has not the {len(maps)} pixels of X."
            )
        components = estimator.components_
        order = np.arange(len(components))
        if components_true is not None:
            components_true = np.asarray(components_true)
            order = match_components(components_true, components)
        std = getattr(estimator, "components_std_", None)
        if lines is None:
            lines = getattr(estimator, "feature_names_in_", None)
        display = cls(
            maps[:, order],
            components[order],
            tuple(map_shape),
            wcs=wcs,
            components_std=None if std is None else std[order],
            components_true=components_true,
            lines=lines,
            names=names,
            unit=str(unit),
        )
        return display.plot(figure, **kwargs)


class EnsembleDisplay:
    """How the members of an ensemble depend on their penalty.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    alphas : ndarray of shape (n_members,)
        Penalties.
    losses : ndarray of shape (n_members,)
        Sums of squared residuals.
    errors : ndarray of shape (n_members,)
        Mean absolute errors of the members' profiles, or distances.
    kept : ndarray of bool of shape (n_members,)
        Members that the consensus is of.
    alpha_name : str
        What the penalty is of.
    error_name : str
        What the errors are from.
    consensus_error : float, default=None
        Error of the consensus.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,)
        Losses above, errors below.
    figure_ : matplotlib Figure
        Their figure.
    """

    def __init__(
        self,
        alphas,
        losses,
        errors,
        kept,
        alpha_name,
        error_name,
        consensus_error=None,
    ):
        self.alphas = alphas
        self.losses = losses
        self.errors = errors
        self.kept = kept
        self.alpha_name = alpha_name
        self.error_name = error_name
        self.consensus_error = consensus_error

    def plot(self, axes=None, *, color="C0"):
        """Draw losses and errors against the penalty.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, default=None
            Where; a new figure by default.
        color : color, default="C0"
            Of the members that were kept.

        Returns
        -------
        display : EnsembleDisplay
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(
                2, 1, figsize=(6.0, 5.5), sharex=True, layout="constrained"
            )
        least = self.losses.min()
        losses = self.losses / (least if least > 0 else 1.0)
        for ax, values in zip(axes, (losses, self.errors), strict=True):
            for which, shade, label in (
                (~self.kept, "0.6", "members left out"),
                (self.kept, color, "members of the consensus"),
            ):
                ax.plot(
                    self.alphas[which],
                    values[which],
                    "o",
                    color=shade,
                    alpha=0.6,
                    markersize=4,
                    linestyle="none",
                    label=label,
                )
        if self.consensus_error is not None:
            axes[1].axhline(self.consensus_error, color="C3", label="consensus")
        if np.all(self.alphas > 0):
            axes[0].set_xscale("log")
            axes[1].set_xscale("log")
        axes[0].set_ylabel("loss over the least loss")
        axes[1].set_ylabel(self.error_name)
        axes[1].set_xlabel(self.alpha_name)
        axes[1].set_ylim(bottom=0)
        axes[0].figure.legend(
            *axes[1].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=3,
            frameon=False,
            fontsize="small",
        )
        self.axes_, self.figure_ = np.asarray(axes), axes[0].figure
        return self

    @classmethod
    def from_estimator(
        cls, estimator, *, components_true=None, penalty=None, axes=None, **kwargs
    ):
        """Draw the members of a fitted ensemble.

        Parameters
        ----------
        estimator : LineMapNMFEnsemble
            Fitted.
        components_true : array-like of shape (n_components, n_lines), default=None
            True profiles, which errors are from. Without them, distances from the
            consensus are drawn.
        penalty : {"alpha_maps", "alpha_profiles"}, default=None
            The penalty on the horizontal axis; by default that which members differ
            in, maps first.
        axes : sequence of two matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EnsembleDisplay

        Raises
        ------
        ValueError
            If `penalty` is none of those.
        """
        choices = {"alpha_maps": 0, "alpha_profiles": 1}
        alphas = estimator.member_alphas_
        if penalty is None:
            differ = np.ptp(alphas, axis=0) > 0
            penalty = list(choices)[int(differ.argmax())]
        if penalty not in choices:
            raise ValueError(
                f"`penalty` must be one of {list(choices)}, got {penalty!r}."
            )
        true = components_true
        target = estimator.components_ if true is None else true
        errors = np.array(
            [component_mae(target, each) for each in estimator.member_components_]
        )
        display = cls(
            alphas[:, choices[penalty]],
            estimator.member_losses_,
            errors,
            estimator.kept_,
            penalty,
            "distance from the consensus" if true is None else "MAE of profiles",
            None if true is None else component_mae(true, estimator.components_),
        )
        return display.plot(axes, **kwargs)
