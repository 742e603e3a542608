"""Non-negative matrix factorisation of maps of molecular lines."""

from numbers import Integral, Real

import numpy as np

from ..utils.sklearn_names import Interval, StrOptions
from ._nmf_base import SEEDS, BlendedMaps
from ._nmf_consensus import fits_equally, overlap
from ._nmf_runs import descend, descend_sklearn


class LineMapNMF(BlendedMaps):
    r"""Separate maps of molecular lines into gas components.

    Pixels are rows of X and lines its columns. A pixel holds a mixture of gas
    components, each with a profile of its own, the intensities of its lines: X = V H
    with the non-negative contributions V of the components to each pixel, which are
    their maps, and the profiles H. No radiative transfer is assumed.

    The default is the thesis' recipe: negative intensities are set to zero, each line
    is scaled to unit mean, and coordinate descent starts at random. Missing entries
    are NaN, and `sigma` gives each entry an error. The result depends on the start and
    on the penalties: see :class:`LineMapNMFEnsemble`.

    Parameters
    ----------
    n_components : int, default=3
        Number of gas components.
    alpha_maps, alpha_profiles : float, default=0.0
        Strength of the penalties of maps and profiles, as ``alpha_W`` and ``alpha_H``
        of scikit-learn's NMF, in scaled lines.
    l1_ratio : float, default=0.0
        0 for squares (L2) in the penalties, 1 for absolute values (L1).
    solver : {"auto", "cd", "hals"}, default="auto"
        ``"cd"`` is scikit-learn's coordinate descent, for complete data; ``"hals"``
        is ours, which takes weights and gaps and needs a tenth of the time. "auto" is
        the first of them that takes the data.
    n_init : int, default=1
        Number of random starts, of which the best is kept.
    select : {"loss", "distinct"}, default="loss"
        Which start is the best: that of the smallest objective, or, of all that fit the
        data as well as the truth would, that of the most distinct components. See
        :class:`LineMapNMFEnsemble`.
    clip_negative : bool, default=True
        Whether negative intensities, which are noise, are set to zero. An error is
        raised for them otherwise.
    scale_lines : bool, default=True
        Whether lines are scaled to unit mean in the fit.
    max_iter : int, default=1000
        Passes at most.
    tol : float, default=1e-4
        When to stop: the criterion of scikit-learn's NMF for ``"cd"``, and for
        ``"hals"`` the relative gain of a pass.
    n_jobs : int, default=None
        Threads for several starts.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.
    verbose : int, default=0
        Whether to show a progress bar over starts.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_lines)
        Profiles: intensities, in the units of X, where the map of the component has
        its peak.
    reconstruction_err_ : float
        Root of the (weighted) sum of squared residuals of scaled lines. Weights are 1
        on the mean.
    n_iter_ : int
        Passes of the best start.
    line_scale_ : ndarray of shape (n_lines,) or None
        Mean of each line; 0 for one that is dark everywhere.
    n_features_in_ : int
        Number of lines.
    feature_names_in_ : ndarray of shape (n_lines,)
        Their names, if X had any.

    See Also
    --------
    LineMapNMFEnsemble : Many runs, what they agree on, and how far they do not.
    skastro.model_selection.choose_n_components : Cross-validation by held-out entries.

    Notes
    -----
    Minimises :math:`\frac12 \sum w (X - V H)^2` and, with n pixels and m lines,
    :math:`\alpha_V m (r |V|_1 + \frac{1-r}{2} |V|_2^2) + \alpha_H n (r |H|_1 +
    \frac{1-r}{2} |H|_2^2)`, where w are inverse variances, of mean 1.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, chapter 3. D. Lee & S. Seung
    1999, Nature 401, 788.

    Examples
    --------
    >>> from skastro.datasets import make_line_maps
    >>> from skastro.decomposition import LineMapNMF
    >>> from skastro.metrics import component_mae
    >>> data = make_line_maps(random_state=0)
    >>> nmf = LineMapNMF(3, alpha_maps=1e-3, random_state=0)
    >>> maps = nmf.fit_transform(data.X)
    >>> maps.shape, nmf.components_.shape
    ((2500, 3), (3, 10))
    >>> component_mae(data.components, nmf.components_) < 0.2
    True
    """

    _parameter_constraints: dict = {
        **BlendedMaps._shared_constraints,
        "alpha_maps": [Interval(Real, 0, None, closed="left")],
        "alpha_profiles": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"auto", "cd", "hals"})],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "select": [StrOptions({"loss", "distinct"})],
    }

    def __init__(
        self,
        n_components=3,
        *,
        alpha_maps=0.0,
        alpha_profiles=0.0,
        l1_ratio=0.0,
        solver="auto",
        n_init=1,
        select="loss",
        clip_negative=True,
        scale_lines=True,
        max_iter=1000,
        tol=1e-4,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.alpha_maps = alpha_maps
        self.alpha_profiles = alpha_profiles
        self.l1_ratio = l1_ratio
        self.solver = solver
        self.n_init = n_init
        self.select = select
        self.clip_negative = clip_negative
        self.scale_lines = scale_lines
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _find(self, problem, rng):
        """Run all starts, and publish the best."""
        k = self.n_components
        solver = self.solver
        if solver == "auto":
            solver = "cd" if problem.complete else "hals"
        if solver == "cd" and not problem.complete:
            raise ValueError(
                '`solver`="cd" takes neither NaN nor `sigma`; "hals" or "auto" do.'
            )
        penalties = self._penalties(problem, self.alpha_maps, self.alpha_profiles)
        seeds = rng.randint(SEEDS, size=self.n_init)
        if solver == "cd":
            alphas = self.alpha_maps, self.alpha_profiles
            how = descend_sklearn, alphas, self.l1_ratio, self.max_iter, self.tol
        else:
            how = descend, penalties, self.max_iter, self.tol
        jobs = [(problem, k, seed, *how[1:]) for seed in seeds]
        runs = self._run(how[0], jobs, "starts")
        if self.select == "distinct":
            figures = np.array([overlap(V, H) for V, H, *_ in runs])
            figures[~fits_equally(problem, [run[2] for run in runs], k)] = np.inf
        else:
            figures = [loss + penalty(V, H, penalties) for V, H, loss, _ in runs]
        V, H, loss, self.n_iter_ = runs[int(np.argmin(figures))]
        self._publish(H, V, loss, penalties)


def penalty(V, H, penalties):
    """Return twice the penalties."""
    l1_V, l2_V, l1_H, l2_H = penalties
    return (
        2 * l1_V * V.sum()
        + l2_V * np.square(V).sum()
        + 2 * l1_H * H.sum()
        + l2_H * np.square(H).sum()
    )
