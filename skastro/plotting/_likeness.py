"""Pictures of a metric of chemical likeness."""

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from ..metrics._doppelganger import collect
from ..metrics._pairs import compare_clusters
from ..metrics._representation import flat, representation
from ..model_selection import cross_val_doppelganger_rates


class DoppelgangerDisplay:
    """Distances within clusters beside those to field stars, a panel a cluster.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one.

    Parameters
    ----------
    distances : dict
        For each cluster, distances of its pairs of members, and of pairs of a member
        and a field star.
    rates : DoppelgangerRates
        Rates of the same clusters, in the same order.
    names : dict, default=None
        Names of clusters, by their labels.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        A panel for each cluster.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Fig. B.4.
    """

    def __init__(self, distances, rates, names=None):
        self.distances = distances
        self.rates = rates
        self.names = names

    def plot(self, *, n_columns=4, bins=40, colors=("C3", "0.6")):
        """Draw the histograms.

        Parameters
        ----------
        n_columns : int, default=4
            Panels side by side.
        bins : int, default=40
            Bins of the histograms.
        colors : tuple of two color, default=("C3", "0.6")
            Of siblings and of strangers.

        Returns
        -------
        display : DoppelgangerDisplay
        """
        import matplotlib.pyplot as plt

        n = len(self.distances)
        n_columns = min(n_columns, n)
        n_rows = -(-n // n_columns)
        self.figure_, axes = plt.subplots(
            n_rows,
            n_columns,
            figsize=(2.4 * n_columns, 1.9 * n_rows + 0.5),
            layout="constrained",
            squeeze=False,
        )
        self.axes_ = axes.ravel()[:n]
        for ax in axes.ravel()[n:]:
            ax.remove()
        for ax, (label, (intra, inter)), rate in zip(
            self.axes_, self.distances.items(), self.rates.rates, strict=True
        ):
            # all siblings, and all strangers but the most remote
            lowest, highest = min(0, intra.min()), intra.max()
            if len(inter):
                lowest = min(lowest, inter.min())
                highest = max(highest, np.quantile(inter, 0.995))
            if highest == lowest:
                highest = lowest + 1
            edges = np.linspace(lowest, highest, bins + 1)
            for values, color, name in [
                (inter, colors[1], "field"),
                (intra, colors[0], "siblings"),
            ]:
                weights = np.full(len(values), 1 / max(len(values), 1))
                ax.hist(
                    values, edges, weights=weights, color=color, alpha=0.65, label=name
                )
            ax.axvline(np.median(intra), color=colors[0], linewidth=1.2)
            name = label if self.names is None else self.names.get(label, label)
            ax.set_title(f"{name}: {100 * rate:.2g} %", fontsize="small")
            ax.set_yticks([])
            ax.tick_params(labelsize="x-small")
        self.axes_[0].legend(fontsize="x-small", frameon=False)
        self.figure_.supxlabel("distance", fontsize="small")
        return self

    @classmethod
    def from_predictions(cls, Z, y, *, names=None, plot_options=None, **kwargs):
        """Draw the distances of given representations.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_features)
            Stars in a space in which distance is to mean chemical difference.
        y : array-like of shape (n_samples,)
            Cluster of each star, or the label of field stars.
        names : dict, default=None
            Names of clusters, by their labels.
        plot_options : dict, default=None
            Passed to :meth:`plot`.
        **kwargs : dict
            As :func:`~skastro.metrics.doppelganger_rates` takes them.

        Returns
        -------
        display : DoppelgangerDisplay
        """
        distances, found = {}, []
        for cluster in compare_clusters(Z, y, **kwargs):
            intra, inter = distances[cluster.label] = cluster.distances()
            found.append(replace(cluster, strangers=[inter]).rated())
        return cls(distances, collect(found), names).plot(**(plot_options or {}))

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, names=None, plot_options=None, **kwargs
    ):
        """Draw the distances under a fitted metric.

        Parameters
        ----------
        estimator : estimator
            Fitted transformer, or pipeline that ends in one. With covariances, what is
            drawn is minus the log likelihood ratio.
        X : array-like of shape (n_samples, n_features)
            Stars; of clusters that the metric was not fitted to, to judge it.
        y : array-like of shape (n_samples,)
            Cluster of each star, or the label of field stars.
        names : dict, default=None
            Names of clusters, by their labels.
        plot_options : dict, default=None
            Passed to :meth:`plot`.
        **kwargs : dict
            As :func:`~skastro.metrics.doppelganger_rates` takes them.

        Returns
        -------
        display : DoppelgangerDisplay
        """
        Z, dissimilarity, field_label = representation(estimator, X)
        kwargs = {"dissimilarity": dissimilarity, "field_label": field_label} | kwargs
        return cls.from_predictions(
            Z, y, names=names, plot_options=plot_options, **kwargs
        )


class RelevanceDisplay:
    """Dimensions of a metric against labels of the stars.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Dimensions of the metric, strongest first.
    labels : dict of str to ndarray of shape (n_samples,)
        Labels by name; NaN where unknown.
    relevance : ndarray of shape (n_features,), default=None
        Share of the variance that lies between birth places.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, of shape (n_features, n_labels)
        The panels.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Fig. 5.3.
    """

    def __init__(self, features, labels, relevance=None):
        self.features = features
        self.labels = labels
        self.relevance = relevance

    def plot(self, *, color="C0", size=2.0):
        """Draw the panels, each with its correlation coefficient.

        Parameters
        ----------
        color : color, default="C0"
            Of the dots.
        size : float, default=2.0
            Area of a dot, in square points.

        Returns
        -------
        display : RelevanceDisplay
        """
        import matplotlib.pyplot as plt

        n_features, n_labels = self.features.shape[1], len(self.labels)
        self.figure_, self.axes_ = plt.subplots(
            n_features,
            n_labels,
            figsize=(2.3 * n_labels + 0.5, 1.9 * n_features + 0.4),
            sharex="col",
            sharey="row",
            layout="constrained",
            squeeze=False,
        )
        for i, row in enumerate(self.axes_):
            title = f"dimension {i}"
            if self.relevance is not None:
                title += f"\nrelevance {self.relevance[i]:.3f}"
            row[0].set_ylabel(title, fontsize="small")
            for ax, (name, label) in zip(row, self.labels.items(), strict=True):
                known = ~np.isnan(label)
                x, z = label[known], self.features[known, i]
                ax.scatter(x, z, s=size, color=color, linewidths=0, rasterized=True)
                if i == n_features - 1:
                    ax.set_xlabel(name, fontsize="small")
                if len(x) > 1 and x.std() > 0 and z.std() > 0:
                    ax.annotate(
                        f"r = {np.corrcoef(x, z)[0, 1]:.2f}",
                        (0.04, 0.96),
                        xycoords="axes fraction",
                        va="top",
                        fontsize="x-small",
                        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0},
                    )
                ax.tick_params(labelsize="x-small")
        return self

    @classmethod
    def from_estimator(cls, estimator, X, labels, *, n_features=2, **kwargs):
        """Draw the strongest dimensions of a fitted metric.

        Parameters
        ----------
        estimator : estimator
            Fitted RSCA, or pipeline that ends in one.
        X : array-like of shape (n_samples, n_features_in)
            Stars.
        labels : mapping of str to array-like of shape (n_samples,)
            Labels by name, such as a dict, a DataFrame or a table.
        n_features : int, default=2
            Number of dimensions.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : RelevanceDisplay
        """
        Z = np.asarray(estimator.transform(X))[:, :n_features]
        names = getattr(labels, "colnames", None) or list(labels.keys())
        last = flat(estimator)[-1]
        labels = {str(name): _numbers(name, labels[name]) for name in names}
        for name, label in labels.items():
            if len(label) != len(Z):
                raise ValueError(
                    f"Label {name!r} has {len(label)} values for {len(Z)} stars."
                )
        return cls(Z, labels, getattr(last, "relevance_", None)).plot(**kwargs)


def _numbers(name, label):
    """Return a label as floats, NaN where it is masked."""
    if not np.issubdtype(np.ma.asarray(label).dtype, np.number):
        raise ValueError(f"Label {name!r} is not of numbers; leave it out of `labels`.")
    return np.ma.filled(np.ma.asarray(label, dtype=float), np.nan).ravel()


class DimensionalityDisplay:
    """Doppelganger rate against a parameter, such as the number of components.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    name : str
        Name of the parameter.
    values : sequence of float
        Its values.
    rates : list of DoppelgangerRates
        Cross-validated rates at each value.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Fig. 5.2.
    """

    def __init__(self, name, values, rates):
        self.name = name
        self.values = values
        self.rates = rates

    def plot(self, ax=None, *, color="C0", label=None, clusters=True):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; a new figure by default.
        color : color, default="C0"
            Of the curve.
        label : str, default=None
            Name of the curve in a legend.
        clusters : bool, default=True
            Whether to draw the rates of single clusters too.

        Returns
        -------
        display : DimensionalityDisplay
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
        if clusters:
            every = np.array([rates.rates for rates in self.rates])
            ax.plot(self.values, every, color=color, linewidth=0.6, alpha=0.3)
        ax.plot(
            self.values,
            [rates.global_rate for rates in self.rates],
            "o-",
            color=color,
            label=label,
        )
        ax.set_yscale("symlog", linthresh=1e-4)
        ax.set_ylim(bottom=0)
        ax.set_xlabel(self.name)
        ax.set_ylabel("doppelganger rate")
        if label is not None:
            ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, param_name, param_range, ax=None, n_jobs=None, **kwargs
    ):
        """Cross-validate an estimator at each value of a parameter, and draw.

        Parameters
        ----------
        estimator : estimator
            Transformer, or pipeline that ends in one.
        X : array-like of shape (n_samples, n_features)
            Stars.
        y : array-like of shape (n_samples,)
            Cluster of each star, or the label of field stars.
        param_name : str
            Name of the parameter, as ``set_params`` takes it.
        param_range : sequence
            Its values.
        ax : matplotlib Axes, default=None
            Where to draw.
        n_jobs : int, default=None
            Clusters at once.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : DimensionalityDisplay
        """
        param_range = list(param_range)
        if not param_range:
            raise ValueError("`param_range` is empty.")
        rates = [
            cross_val_doppelganger_rates(
                clone(estimator).set_params(**{param_name: value}), X, y, n_jobs=n_jobs
            )
            for value in param_range
        ]
        name = param_name.rpartition("__")[2]
        return cls(name, param_range, rates).plot(ax, **kwargs)
