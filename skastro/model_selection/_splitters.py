"""Splits that keep together what belongs together: clusters, and twins."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator, GroupKFold
from sklearn.utils import check_random_state

from ..utils.cluster_labels import MARK_ALONE, read_clusters
from ..utils.warn import warn


def _say_ignored(splitter, groups):
    if groups is not None:
        warn(
            f"The groups parameter is ignored by {type(splitter).__name__}: y says who"
            " belongs together.",
        )


def clusters_to_leave_out(y, field_label):
    """Return the clusters of y, of which one at least has two stars."""
    clusters = read_clusters(y, field_label)
    if not len(clusters.several):
        raise ValueError(
            "y has no cluster of two or more stars to leave out: give siblings one"
            " label."
        )
    return clusters


class LeaveOneClusterOut(BaseCrossValidator):
    """Splits that leave one open cluster out.

    A split trains on everything but one cluster, and tests on that cluster and all
    field stars, which doppelganger rates compare it with. Field stars are on both
    sides: they teach the population, never who is born with whom.

    Parameters
    ----------
    field_label : int, str or None, default=-1
        The value of y that marks a field star, as a missing label does.

    See Also
    --------
    ClusterKFold : Several clusters at a time.
    sklearn.model_selection.LeaveOneGroupOut : Without field stars.

    Examples
    --------
    >>> from skastro.model_selection import LeaveOneClusterOut
    >>> for train, test in LeaveOneClusterOut().split(None, [-1, 0, 0, 1, 1, 2]):
    ...     print(train, test)
    [0 3 4 5] [0 1 2]
    [0 1 2 5] [0 3 4]
    """

    def __init__(self, field_label=-1):
        self.field_label = field_label

    def split(self, X, y=None, groups=None):
        """Yield the rows to train on and to test on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Not used.
        y : array-like of shape (n_samples,)
            Cluster of each star; `field_label`, or missing, for field stars.
        groups : None
            Not used; y has the groups.

        Yields
        ------
        train : ndarray of int
            All rows but those of one cluster.
        test : ndarray of int
            That cluster, of two or more stars, and all field stars.
        """
        _say_ignored(self, groups)
        clusters = clusters_to_leave_out(y, self.field_label)
        for cluster in clusters.several:
            member = clusters.codes == cluster
            yield np.flatnonzero(~member), np.flatnonzero(member | clusters.field)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of clusters of two or more stars.

        Parameters
        ----------
        X : None
            Not used.
        y : array-like of shape (n_samples,)
            Cluster of each star; `field_label`, or missing, for field stars.
        groups : None
            Not used.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        return len(clusters_to_leave_out(y, self.field_label).several)


class _Folds(BaseCrossValidator):
    """Base of splitters with so many folds, shuffled or not."""

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        if not isinstance(n_splits, Integral) or n_splits < 2:
            raise ValueError(
                f"`n_splits` must be an integer of at least 2, got {n_splits!r}."
            )
        if random_state is not None and not shuffle:
            raise ValueError(
                "`random_state` has no effect with shuffle=False; leave it at None, or"
                " set shuffle=True."
            )
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X : None
            Not used.
        y : None
            Not used.
        groups : None
            Not used.

        Returns
        -------
        n_splits : int
            Number of splits.
        """
        return self.n_splits

    def _check(self, n_groups, what):
        if self.n_splits > n_groups:
            raise ValueError(
                f"`n_splits`={self.n_splits} is more than the {n_groups} {what} of y."
            )


class ClusterKFold(_Folds):
    """Splits that leave several whole clusters out.

    A split trains on everything but some clusters, and tests on those and all field
    stars, as `LeaveOneClusterOut` does one by one. Every cluster of two or more stars
    is tested once, and folds are of about equal numbers of stars. Clusters of one star
    are always trained on.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=False
        Whether clusters are put into folds in random order; else by falling size.
    random_state : int, RandomState instance or None, default=None
        Of the order.
    field_label : int, str or None, default=-1
        The value of y that marks a field star, as a missing label does.

    See Also
    --------
    LeaveOneClusterOut : One cluster at a time.

    Examples
    --------
    >>> from skastro.model_selection import ClusterKFold
    >>> y = [-1, 0, 0, 1, 1, 2, 2, 2]
    >>> for train, test in ClusterKFold(2).split(None, y):
    ...     print(train, test)
    [0 1 2 3 4] [0 5 6 7]
    [0 5 6 7] [0 1 2 3 4]
    """

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None, field_label=-1):
        super().__init__(n_splits, shuffle=shuffle, random_state=random_state)
        self.field_label = field_label

    def split(self, X, y=None, groups=None):
        """Yield the rows to train on and to test on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Not used.
        y : array-like of shape (n_samples,)
            Cluster of each star; `field_label`, or missing, for field stars.
        groups : None
            Not used; y has the groups.

        Yields
        ------
        train : ndarray of int
            All rows but those of some clusters.
        test : ndarray of int
            Those clusters, of two or more stars each, and all field stars.
        """
        _say_ignored(self, groups)
        clusters = clusters_to_leave_out(y, self.field_label)
        several = clusters.several
        self._check(len(several), "clusters of two or more stars")
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(several)
        else:
            order = several[np.argsort(-clusters.counts[several], kind="stable")]
        fold_of = np.full(len(clusters.labels), -1)
        n_stars = np.zeros(self.n_splits, dtype=int)
        for cluster in order:
            fold_of[cluster] = fold = n_stars.argmin()
            n_stars[fold] += clusters.counts[cluster]
        fold_of = np.where(clusters.field, -1, fold_of[clusters.codes])
        for fold in range(self.n_splits):
            tested = fold_of == fold
            yield np.flatnonzero(~tested), np.flatnonzero(tested | clusters.field)


class TwinKFold(_Folds):
    """Splits that keep twins together.

    Stars of one label are in one fold, as by `GroupKFold` with y for its groups; a star
    without a twin is a group of its own.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    shuffle : bool, default=False
        Whether groups are put into folds in random order.
    random_state : int, RandomState instance or None, default=None
        Of the order.

    See Also
    --------
    skastro.metrics.twin_recovery_scorer : What needs it.

    Examples
    --------
    >>> from skastro.model_selection import TwinKFold
    >>> y = ["a", "b", "a", None, None, "b"]
    >>> for train, test in TwinKFold(2).split(None, y):
    ...     print(train, test)
    [0 2 3] [1 4 5]
    [1 4 5] [0 2 3]
    """

    def split(self, X, y=None, groups=None):
        """Yield the rows to train on and to test on.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Not used.
        y : array-like of shape (n_samples,)
            Equal for twins; -1, or missing, for stars without one.
        groups : None
            Not used; y has the groups.

        Yields
        ------
        train : ndarray of int
            Rows to train on.
        test : ndarray of int
            Rows to test on.
        """
        _say_ignored(self, groups)
        clusters = read_clusters(y, remedy=MARK_ALONE)
        groups = clusters.codes.copy()
        alone = np.flatnonzero(clusters.field)
        groups[alone] = len(clusters.labels) + np.arange(len(alone))
        self._check(len(clusters.labels) + len(alone), "groups of twins")
        folds = GroupKFold(
            self.n_splits, shuffle=self.shuffle, random_state=self.random_state
        )
        yield from folds.split(groups, groups=groups)
