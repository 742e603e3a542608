"""Many factorisations of line maps, and what they agree on."""

from numbers import Integral, Real

import numpy as np

from ..utils.sklearn_names import Interval, StrOptions
from ._nmf_base import SEEDS, BlendedMaps
from ._nmf_consensus import consensus, fits_equally, overlap
from ._nmf_runs import descend, refit

#: Share of the members that the consensus is of.
_KEEP = {"loss": 0.5, "distinct": 0.05}


class LineMapNMFEnsemble(BlendedMaps):
    r"""Separate line maps many times, and keep the most distinct components that fit.

    The factorisation of line maps depends on its random start and on its penalties, and
    many different ones fit the data equally well. This is an ensemble of runs over
    starts and penalties. Of all members that fit as well as the truth would be expected
    to, those are kept whose components are least alike, in their maps and profiles;
    what is kept is brought into one order by optimal assignment, and its median is the
    consensus. How far all members that fit depart from it is its uncertainty: it is of
    what the data do not decide.

    Parameters
    ----------
    n_components : int, default=3
        Number of gas components.
    n_members : int, default=100
        Number of runs.
    alpha_maps, alpha_profiles : float or tuple of two floats
        By default (1e-4, 0.1) and 0.0. Strength of the penalties, as in
        :class:`LineMapNMF`; for two floats, each member draws its own between them,
        uniformly in the logarithm.
    l1_ratio : float, default=0.0
        0 for squares (L2) in the penalties, 1 for absolute values (L1).
    select : {"distinct", "loss"}, default="distinct"
        What members are ranked by: the overlap of their components, among those that
        fit, or their loss.
    keep : float, default=None
        Share of the members that the consensus is of, at most. By default 0.05 of the
        most distinct, or the half of the smallest loss.
    clip_negative : bool, default=True
        Whether negative intensities are set to zero.
    scale_lines : bool, default=True
        Whether lines are scaled to unit mean in the fit.
    max_iter : int, default=1000
        Passes of a member at most.
    tol : float, default=1e-5
        A member ends when a pass gains less than this, relatively.
    n_jobs : int, default=None
        Threads.
    random_state : int, RandomState instance or None, default=None
        Draws starts and penalties.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_lines)
        Profiles of the consensus: intensities, in the units of X, where the map of the
        component has its peak.
    components_std_ : ndarray of shape (n_components, n_lines)
        Their uncertainty: 1.4826 times the median absolute deviation from them of all
        members that fit, relative to each member's mean, in the same units.
    member_components_ : ndarray of shape (n_members, n_components, n_lines)
        Profiles of all members, scaled to unit mean over the lines, in the order of the
        consensus.
    member_losses_ : ndarray of shape (n_members,)
        Sums of squared residuals of scaled lines.
    member_alphas_ : ndarray of shape (n_members, 2)
        Their penalties, of maps and of profiles.
    member_overlaps_ : ndarray of shape (n_members,)
        How much the components of each are alike.
    fitting_ : ndarray of bool of shape (n_members,)
        Members that fit as well as the truth would be expected to.
    kept_ : ndarray of bool of shape (n_members,)
        Members that the consensus is of.
    stability_ : float
        Mean cosine between the profiles of members that fit and of the consensus, in
        scaled lines: 1 if all agree.
    reconstruction_err_ : float
        Root of the sum of squared residuals of the consensus.
    n_iter_ : int
        Passes of the longest run.
    line_scale_ : ndarray of shape (n_lines,) or None
        Mean of each line; 0 for one that is dark everywhere.
    n_features_in_ : int
        Number of lines.
    feature_names_in_ : ndarray of shape (n_lines,)
        Their names, if X had any.

    See Also
    --------
    LineMapNMF : One run.
    skastro.model_selection.choose_n_components : How many components there are.

    Notes
    -----
    The overlap of maps :math:`v_i` and profiles :math:`h_i` is :math:`\sum_{i<j} (\cos
    (v_i, v_j) + \cos(h_i, h_j))^2`. A member fits if its loss is at most :math:`N / (N
    - k n)` times the least one, with N entries that are observed and n pixels: the best
    fit has fitted noise with k parameters a pixel. A misfit of 0.3 % of the
    intensities counts for nothing.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, Figs. 3.3 and 3.5.

    Examples
    --------
    >>> from skastro.datasets import make_line_maps
    >>> from skastro.decomposition import LineMapNMFEnsemble
    >>> from skastro.metrics import component_mae
    >>> data = make_line_maps(random_state=0)
    >>> ensemble = LineMapNMFEnsemble(3, n_members=30, random_state=0).fit(data.X)
    >>> ensemble.member_components_.shape
    (30, 3, 10)
    >>> component_mae(data.components, ensemble.components_) < 0.01
    True
    """

    _parameter_constraints: dict = {
        **BlendedMaps._shared_constraints,
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "alpha_maps": [Interval(Real, 0, None, closed="left"), tuple, list],
        "alpha_profiles": [Interval(Real, 0, None, closed="left"), tuple, list],
        "select": [StrOptions({"distinct", "loss"})],
        "keep": [Interval(Real, 0, 1, closed="right"), None],
    }

    def __init__(
        self,
        n_components=3,
        *,
        n_members=100,
        alpha_maps=(1e-4, 0.1),
        alpha_profiles=0.0,
        l1_ratio=0.0,
        select="distinct",
        keep=None,
        clip_negative=True,
        scale_lines=True,
        max_iter=1000,
        tol=1e-5,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.n_members = n_members
        self.alpha_maps = alpha_maps
        self.alpha_profiles = alpha_profiles
        self.l1_ratio = l1_ratio
        self.select = select
        self.keep = keep
        self.clip_negative = clip_negative
        self.scale_lines = scale_lines
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _find(self, problem, rng):
        """Run all members, and publish their consensus."""
        k, n = self.n_components, self.n_members
        seeds = rng.randint(SEEDS, size=n)
        alphas = np.column_stack(
            [self._draw(name, rng) for name in ("alpha_maps", "alpha_profiles")]
        )
        penalties = [self._penalties(problem, *pair) for pair in alphas]
        jobs = [
            (problem, k, seed, each, self.max_iter, self.tol)
            for seed, each in zip(seeds, penalties, strict=True)
        ]
        runs = self._run(_member, jobs, "members")
        profiles = np.array([H for H, *_ in runs])
        losses, overlaps, passes = np.array([run[1:] for run in runs]).T
        n = len(runs)  # fewer than were asked for, if a callback ended it
        self.member_losses_, self.member_alphas_ = losses, alphas[:n]
        self.member_overlaps_, self.n_iter_ = overlaps, int(passes.max())
        self.fitting_ = fits_equally(problem, losses, k)
        order = losses
        if self.select == "distinct":
            order = np.where(self.fitting_, overlaps, np.inf)
        keep = _KEEP[self.select] if self.keep is None else self.keep
        n_kept = max(1, round(keep * n))
        self.kept_ = np.zeros(n, dtype=bool)
        self.kept_[np.argsort(order, kind="stable")[:n_kept]] = True
        self.kept_ &= np.isfinite(order)
        profiles, common, deviation, self.stability_ = consensus(
            profiles, self.kept_, self.fitting_
        )
        V, H, loss = refit(problem, common)
        self._publish(H, V, loss, (0.0, 0.0))
        self.components_std_ = self._of_all_lines(deviation * self._peaks[:, None])
        members = self._of_all_lines(profiles)
        mean = members.mean(axis=2, keepdims=True)
        self.member_components_ = members / np.where(mean > 0, mean, 1)

    def _draw(self, name, rng):
        value = getattr(self, name)
        if isinstance(value, Real):
            return np.full(self.n_members, float(value))
        if len(value) != 2 or not 0 < value[0] <= value[1]:
            raise ValueError(
                f"`{name}` must be a number, or two positive numbers in order between"
                f" which members draw, got {value!r}."
            )
        low, high = np.log(value)
        return np.exp(rng.uniform(low, high, self.n_members))


def _member(problem, k, seed, penalties, max_iter, tol):
    """Return profiles, loss, overlap and number of passes of a run, without maps."""
    V, H, loss, n_iter = descend(problem, k, seed, penalties, max_iter, tol)
    return H, loss, overlap(V, H), n_iter
