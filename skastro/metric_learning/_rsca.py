"""Relevant scaled component analysis."""

import numbers

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ..metrics import doppelganger_scorer
from ..metrics._doppelganger import rate_among_clusters
from ..metrics._representation import representation
from ..utils.arrays import as_matrix, validate
from ..utils.cluster_labels import SPLITTERS, join_pairs, read_clusters
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ..utils.uncertain import UncertainVectors
from ..utils.warn import warn
from ._pairs import PairLikelihood
from ._population import population
from ._within import scatter_within

#: What to do about missing values.
_COMPLETE = (
    "RSCA needs complete rows: put ProbabilisticPCA before it, which takes NaN as"
    " missing, or leave the rows out."
)


class RSCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SkastroEstimator):
    r"""Relevant scaled component analysis: a metric of chemical likeness.

    From stars of known open clusters, learns a linear map to a space in which stars
    born together are close: (1) sphering, after which the population has unit
    covariance; (2) a rotation to the principal axes of the scatter within clusters;
    (3) division of each dimension by

    .. math:: \sigma_r = \sigma_{clust} \sigma_{pop} /
              \sqrt{\sigma_{pop}^2 - \sigma_{clust}^2},

    where :math:`\sigma_{clust}` is its pooled scatter within clusters. A dimension in
    which clusters scatter as much as the population tells nothing and gets the weight
    zero. The Euclidean distance of the result ranks pairs as the ratio of their
    likelihoods of being siblings and of being strangers does.

    Parameters
    ----------
    n_components : int, default=None
        Number of dimensions kept, those of smallest :math:`\sigma_r`; all by default.
    scale_estimator : {"mad", "std"}, default="mad"
        How :math:`\sigma_{clust}` is estimated within a cluster: 1.4826 x the median
        absolute deviation, which outliers do not disturb, or the standard deviation.
        Not used if `with_covariance`.
    with_covariance : bool, default=False
        Whether X carries the error covariance of each row behind its k values, as
        ``ProbabilisticPCA(with_covariance=True)`` appends it: k (k + 1) / 2 columns,
        the lower triangle row by row. The covariances of the population and within
        clusters are then the intrinsic ones, by restricted maximum likelihood; axes
        and scales are those for a star of typical errors; and `log_likelihood_ratio`
        takes the errors of both stars of a pair into account.
    shrinkage : float in [0, 1], "auto" or None, default=None
        Weight of the diagonal in the covariance within clusters, for few stars. None,
        as 0, is the published algorithm, which needs as many degrees of freedom, stars
        less clusters, as dimensions. "auto" fits whatever there is, by the weights that
        left-out clusters make likely, which tend to 0 where clusters are many.
    field_label : int, str or None, default=-1
        The value of y that marks a field star, as a missing label does: None, NaN,
        pandas' NA, or masked. None if only these do.

    Attributes
    ----------
    components_ : ndarray of shape (n_kept, n_values)
        ``transform(X) == (X - mean_) @ components_.T``; by rising ``scale_``. Rows of
        zeros stand for dimensions without weight. `n_values` is the number of features
        less the columns of covariances; `n_kept` is ``n_components_``.
    mean_ : ndarray of shape (n_values,)
        Mean of the population.
    scale_ : ndarray of shape (n_kept,)
        :math:`\sigma_r`, in units of :math:`\sigma_{pop}`; infinite where the weight
        is zero.
    relevance_ : ndarray of shape (n_kept,)
        :math:`1 - \sigma_{clust}^2 / \sigma_{pop}^2`, not below 0: the share of the
        variance of the population that lies between birth places.
    n_components_ : int
        Number of dimensions of the output.
    shrinkage_ : float
        Weight of the diagonal.
    evenness_ : float
        Weight in it of a common share of the population's variances: 0 is the
        scatter's own diagonal, and 1 the metric of scaled columns.
    clusters_ : ndarray of shape (n_clusters,)
        Clusters of two or more stars, from which the scatter was learned; those of
        `pairs` have the numbers after those of y, or are "pair 0" and so on.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features of X, if it has names.

    See Also
    --------
    skastro.decomposition.ProbabilisticPCA : The step before it, for spectra.
    skastro.model_selection.cross_val_doppelganger_rates : How good the metric is.
    NuisanceProjection : Removes what is *not* to be in a metric.

    Notes
    -----
    The population are the field stars, or all rows if there are none. Clusters of one
    star are left out with a warning. Where published code and text differ:
    the median absolute deviation has its factor 1.4826 (of three to five stars it is
    still 5 to 15 per cent too small, in all dimensions alike), and a dimension with
    :math:`\sigma_{clust} \ge \sigma_{pop}` has exactly no weight. The intrinsic
    covariance of a population of more than 20,000 stars is fitted to every second,
    third, … of them, which leaves an error of less than one per cent.

    With shrinkage, the covariance within clusters is

    .. math:: (1 - \lambda) S + \lambda D, \quad
              D = (1 - \mu)\, \mathrm{diag}\, S + \mu\, r\, \mathrm{diag}\, \Sigma_{pop}

    in the coordinates of X, with r the mean ratio of the two diagonals, at most 0.9.
    The diagonal belongs to the columns of X, whose units do not matter: abundances,
    whose errors are about independent, or components. A number is :math:`\lambda`, with
    :math:`\mu = 0`. "auto" is the mean over a grid of both, each point as likely as the
    product over left-out clusters of one over their doppelganger rates (averaged in
    logarithm over pairs). With `with_covariance`, S has an inverse-Wishart prior worth
    :math:`\lambda / (1 - \lambda)` times its degrees of freedom, and the rates are of
    the scores that errors and population make likely.

    References
    ----------
    .. [1] *Decoding Astronomical Spectra Using Machine Learning*, section 5.3,
       Algorithm 1, Eqs. 5.2, 5.5-5.7.
    .. [2] de Mijolla & Ness 2022, ApJ 926, 193.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metric_learning import RSCA
    >>> rng = np.random.default_rng(0)
    >>> field = rng.normal(size=(500, 2))
    >>> births = np.repeat(rng.normal(size=(20, 2)), 5, axis=0)
    >>> births[:, 1] = 0  # the second column is no matter of birth
    >>> clusters = births + rng.normal(size=(100, 2)) * [0.1, 1]
    >>> X = np.concatenate([field, clusters])
    >>> y = np.concatenate([np.full(500, -1), np.repeat(np.arange(20), 5)])
    >>> rsca = RSCA(scale_estimator="std").fit(X, y)
    >>> rsca.scale_[0].round(1)
    np.float64(0.1)
    >>> bool(rsca.relevance_[1] < 0.1)
    True
    """

    _parameter_constraints = {
        "n_components": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "scale_estimator": [StrOptions({"mad", "std"})],
        "with_covariance": ["boolean"],
        "shrinkage": [
            Interval(numbers.Real, 0, 1, closed="both"),
            StrOptions({"auto"}),
            None,
        ],
        "field_label": [numbers.Real, str, None],
    }

    def __init__(
        self,
        n_components=None,
        *,
        scale_estimator="mad",
        with_covariance=False,
        shrinkage=None,
        field_label=-1,
    ):
        self.n_components = n_components
        self.scale_estimator = scale_estimator
        self.with_covariance = with_covariance
        self.shrinkage = shrinkage
        self.field_label = field_label

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, pairs=None):
        """Learn the metric, from clusters, from pairs of stars, or from both.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Representations of stars, such as principal components.
        y : array-like of shape (n_samples,), default=None
            Cluster of each star; `field_label`, or missing, for field stars. May be
            left out where there are `pairs`.
        pairs : array-like of int of shape (n_pairs, 2), default=None
            Rows of siblings: wide binaries, or visits. Chains make one group, and a
            star paired with a member of a cluster joins it. Others are of the field,
            unless y says otherwise. A cross-validation needs groups of two in y.

        Returns
        -------
        self : RSCA
            Fitted estimator.

        Raises
        ------
        ValueError
            If X holds NaN, no cluster has two stars, too few do for the dimensions of
            X without `shrinkage`, or `n_components` is more than those; if `pairs` are
            out of range, pair a star with itself or connect clusters; or if there are
            no field stars, and one label holds most of the rows.

        Warns
        -----
        UserWarning
            If clusters of one star are left out.
        """
        stars, clusters = self._check_fit(X, y, pairs)
        return self._fit_clusters(stars, clusters, self._population(stars, clusters))

    def transform(self, X):
        """Map stars to the space in which Euclidean distance is chemical likeness.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Representations; if `with_covariance`, their covariances do not matter
            here.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_kept)
            Scaled components.
        """
        return self._project(self._check(X).values)

    def _project(self, x):
        if x.dtype == np.float32:  # in which a large mean would cost digits
            return (x - self.mean_) @ self.components_.T
        Z = x @ self.components_.T
        Z -= self.mean_ @ self.components_.T
        return Z

    def inverse_transform(self, X):
        """Return the representations of given scaled components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_kept)
            Scaled components.

        Returns
        -------
        representations : ndarray of shape (n_samples, n_values)
            With the mean of the population in dimensions that were not kept or have
            no weight.
        """
        check_is_fitted(self)
        X = as_matrix(X, "X")
        if X.shape[1] != self.n_components_:
            raise ValueError(
                f"X must have {self.n_components_} columns, got an array of shape"
                f" {X.shape}."
            )
        return X @ self._inverse + self.mean_

    def log_likelihood_ratio(self, X1, X2):
        r"""Return how much likelier pairs are as siblings than as strangers.

        Differences of siblings scatter with twice the covariance within clusters,
        those of strangers with twice that of the population; with `with_covariance`,
        the error covariances of both stars are added to either.

        Parameters
        ----------
        X1, X2 : array-like of shape (n_pairs, n_features)
            Representations of the two stars of each pair.

        Returns
        -------
        log_ratio : ndarray of shape (n_pairs,)
            ln r of thesis Eq. 5.5, natural logarithm; with exponents of
            :math:`4 \sigma_r^2`, a difference of two having twice the variance of
            one.
        """
        check_consistent_length(X1, X2)
        return self._pairs.one_by_one(self._check(X1), self._check(X2))

    def pairwise_log_likelihood_ratio(self, X1, X2=None):
        """Return the log likelihood ratio of every star of X1 with every one of X2.

        Parameters
        ----------
        X1 : array-like of shape (n_samples_1, n_features)
            Representations.
        X2 : array-like of shape (n_samples_2, n_features), default=None
            Representations; X1 by default.

        Returns
        -------
        log_ratio : ndarray of shape (n_samples_1, n_samples_2)
            See `log_likelihood_ratio`.
        """
        first = self._check(X1)
        second = first if X2 is None else self._check(X2)
        return self._pairs.each_with_each(first, second, self.mean_)

    def score(self, X, y):
        """Return minus the doppelganger rate of stars.

        For ``GridSearchCV`` with `LeaveOneClusterOut` or `ClusterKFold`. Where there
        are no field stars, neither here nor in `fit`, strangers are of other clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Stars of one or more clusters, and field stars.
        y : array-like of shape (n_samples,)
            Cluster of each star; `field_label`, or missing, for field stars.

        Returns
        -------
        score : float
            At most 0; higher is better.

        See Also
        --------
        skastro.metrics.doppelganger_scorer : The same of any transformer.
        """
        check_is_fitted(self)
        clusters = read_clusters(y, self.field_label)
        if self._has_field or clusters.field.any():
            return doppelganger_scorer(self, X, y)
        Z, dissimilarity, _ = representation(self, X)
        return -rate_among_clusters(Z, clusters, dissimilarity)

    # -- the fit, in parts that cross-validation can share

    def _check_fit(self, X, y, pairs=None):
        """Let stars and their clusters in."""
        if y is None and pairs is not None:
            y = np.full(len(X), None)
        clusters = read_clusters(y, self.field_label)
        if pairs is not None:
            clusters = join_pairs(clusters, pairs)
        # the codes of clusters stand for y, of which labels may be missing
        X, _ = validate(self, X, clusters.codes, ensure_min_samples=2, remedy=_COMPLETE)
        labels, counts = clusters.labels, clusters.counts
        if labels.dtype.kind == "f" and np.any(labels != np.round(labels)):
            raise ValueError(
                "Unknown label type: y must hold the cluster of each star, got"
                f" fractions such as {labels[labels != np.round(labels)][0]}."
            )
        stars = self._unpacked(X)
        if self.n_components is not None and self.n_components > stars.order:
            raise ValueError(
                f"n_components={self.n_components} must be at most the number of"
                f" dimensions of X, {stars.order}."
            )
        if not len(clusters.several):
            raise ValueError(
                f"y has no cluster of two or more stars, which RSCA learns from:"
                f" {len(labels)} label(s) of one star each beside"
                f" field_label={self.field_label!r}. Give siblings one label; y has"
                f" {len(labels) + clusters.field.any()} class(es). {SPLITTERS}"
            )
        if np.any(counts == 1):
            alone = labels[counts == 1]
            warn(
                f"{len(alone)} cluster(s) of one star are left out, which tell nothing"
                f" of the scatter among siblings: {alone[:5].tolist()}"
                f"{' …' if len(alone) > 5 else ''}.",
            )
        return stars, clusters

    def _unpacked(self, X):
        kind = UncertainVectors
        return kind.unpack(X) if self.with_covariance else kind(X)

    def _population(self, stars, clusters):
        self._has_field = bool(clusters.field.any())
        if np.count_nonzero(clusters.field) > 1:
            stars = stars[clusters.field]
        return population(stars, stars.values.dtype)

    def _fit_clusters(self, stars, clusters, population):
        """Rotate and scale; stars may lack a cluster that `population` was with."""
        self.clusters_ = clusters.labels[clusters.several]
        member = np.isin(clusters.codes, clusters.several)
        groups = np.unique(clusters.codes[member], return_inverse=True)[1]
        dtype = stars.values.dtype
        members = stars[member].astype(np.float64)
        within = scatter_within(
            members, groups, population, self.shrinkage, self.scale_estimator
        )
        self.shrinkage_, self.evenness_ = within.shrinkage, within.evenness
        variance, rotation = within.variance, within.rotation
        variance = np.maximum(variance, np.finfo(dtype).eps)
        order = np.argsort(variance)[: self.n_components]
        variance, rotation = variance[order], rotation[:, order]
        weight = np.maximum(1 / variance - 1, 0)
        axes = population.whitening @ rotation
        self.n_components_ = len(order)
        self.mean_ = population.mean.astype(dtype)
        self.relevance_ = np.maximum(1 - variance, 0)
        with np.errstate(divide="ignore"):
            self.scale_ = 1 / np.sqrt(weight)
        self.components_ = (axes * np.sqrt(weight)).T.astype(dtype)
        finite = np.where(weight > 0, self.scale_, 0)
        self._inverse = (finite[:, None] * (rotation.T @ population.back)).astype(dtype)
        # what pairs are compared in: dimensions with weight, not yet scaled
        used = weight > 0
        rotation, axes = rotation[:, used], axes[:, used]
        beyond = None, None
        if self.with_covariance:
            intrinsic = axes.T @ population.intrinsic @ axes
            siblings = rotation.T @ within.intrinsic @ rotation
            beyond = 2 * siblings, 2 * intrinsic
        self._pairs = PairLikelihood(axes.astype(dtype), variance[used], *beyond)
        return self

    def _leave_one_cluster_out(self, X, y):
        """Yield each cluster and the metric learned from all others.

        The population, the costly part, is the same for all of them.
        """
        self._validate_params()
        stars, clusters = clone(self)._check_fit(X, y)
        population = self._population(stars, clusters)
        of_clusters = np.flatnonzero(~clusters.field)
        stars, clusters = stars[of_clusters], clusters[of_clusters]
        for cluster in clusters.several:
            rsca = clone(self)
            rsca.n_features_in_, rsca._has_field = np.shape(X)[1], self._has_field
            others = np.flatnonzero(clusters.codes != cluster)
            rsca._fit_clusters(stars[others], clusters[others], population)
            yield clusters.labels[cluster], rsca

    def _check(self, X):
        """Let stars in."""
        check_is_fitted(self)
        X = validate(self, X, reset=False, remedy=_COMPLETE)
        return (
            UncertainVectors(X) if X.shape[1] == len(self.mean_) else self._unpacked(X)
        )

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
