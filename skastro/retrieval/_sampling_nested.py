"""UltraNest, driven quietly, reproducibly, and with whole batches."""

import contextlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.seeds import numpy_seed

#: Dimensions up to which rejection from a region beats slice sampling.
_REGION_MAX_DIMENSION = 4


@dataclass(frozen=True)
class NestedSamplingRun:
    """What nested sampling found; ``well_mixed`` is UltraNest's own test of it."""

    samples: np.ndarray
    weighted_samples: np.ndarray
    weights: np.ndarray
    log_likelihoods: np.ndarray
    log_evidence: float
    log_evidence_err: float
    n_calls: int
    well_mixed: bool


@contextlib.contextmanager
def _silence():
    """Keep UltraNest from installing a handler that prints."""
    logger = logging.getLogger("ultranest")
    handler, propagate = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


@contextlib.contextmanager
def _progress(log_likelihood, verbose):
    """Wrap a likelihood so that a progress bar counts its evaluations."""
    if not verbose:
        yield log_likelihood
        return
    from tqdm.auto import tqdm

    best = -np.inf
    with tqdm(desc="nested sampling", unit="call", unit_scale=True) as bar:

        def counted(theta):
            nonlocal best
            values = log_likelihood(theta)
            highest = values.max(initial=-np.inf)
            if highest > best:
                best = highest
                bar.set_postfix({"best ln L": f"{best:.2f}"}, refresh=False)
            bar.update(len(theta))
            return values

        yield counted


def _is_first_process():
    """Whether this is the only process, or the first of those under MPI."""
    try:
        from mpi4py import MPI
    except ImportError:
        return True
    return MPI.COMM_WORLD.Get_rank() == 0


def _set_aside_broken(path):
    """Move a file of points that a kill left unreadable out of the way."""
    import h5py

    if not path.exists():
        return
    try:
        h5py.File(path, "r").close()
    except OSError:
        aside = path.with_suffix(".broken")
        path.replace(aside)
        warnings.warn(
            f"The points of a killed run cannot be read; they are now {str(aside)!r},"
            " and the run starts again.",
            UserWarning,
            stacklevel=2,
        )


def nested_sampling(
    names,
    transform,
    log_likelihood,
    *,
    sampler,
    n_live_points,
    n_steps,
    population_size,
    frac_remain,
    max_calls,
    log_dir,
    seed,
    verbose,
):
    """Run UltraNest on a vectorised likelihood.

    Parameters
    ----------
    names : list of str
        Parameter names.
    transform : callable
        From points of the unit cube, (n, d), to parameters.
    log_likelihood : callable
        From parameters, (n, d), to finite log-likelihoods, (n,).
    sampler : {"auto", "slice", "region"}
        How new points are found; ``"auto"`` is ``"region"`` in few dimensions.
    n_live_points, n_steps, population_size, frac_remain, max_calls :
        See :class:`BayesianRetrieval`.
    log_dir : path-like or None
        Folder that a killed run is resumed from.
    seed : int
        Seed.
    verbose : int
        Whether to show a progress bar.

    Returns
    -------
    run : NestedSamplingRun
    """
    import ultranest
    from ultranest import popstepsampler

    first = _is_first_process()
    if log_dir is not None and first:
        _set_aside_broken(Path(log_dir) / "results" / "points.hdf5")
    if sampler == "auto":
        sampler = "region" if len(names) <= _REGION_MAX_DIMENSION else "slice"
    with (
        numpy_seed(seed),
        _silence(),
        _progress(log_likelihood, verbose and first) as counted,
    ):
        nested = ultranest.ReactiveNestedSampler(
            list(names),
            counted,
            transform,
            vectorized=True,
            log_dir=None if log_dir is None else str(log_dir),
            resume=True,
        )
        if sampler == "slice":
            # slices that end at the unit cube, shrunk together: eight times fewer and
            # larger calls than stepping out, at the same evidence and posterior
            nested.stepsampler = popstepsampler.PopulationSimpleSliceSampler(
                popsize=population_size,
                nsteps=n_steps,
                generate_direction=popstepsampler.generate_mixture_random_direction,
            )
        try:
            result = nested.run(
                min_num_live_points=n_live_points,
                cluster_num_live_points=min(40, n_live_points),
                frac_remain=frac_remain,
                min_ess=0,
                dlogz=np.inf,
                dKL=np.inf,
                max_ncalls=max_calls,
                max_num_improvement_loops=0,
                show_status=False,
                viz_callback=False,
            )
        finally:
            if nested.pointstore is not None:
                nested.pointstore.close()
    weighted = result["weighted_samples"]
    weights = np.asarray(weighted["weights"])
    order_test = result.get("insertion_order_MWW_test", {})
    return NestedSamplingRun(
        samples=np.asarray(result["samples"]),
        weighted_samples=np.asarray(weighted["points"]),
        weights=weights / weights.sum(),
        log_likelihoods=np.asarray(weighted["logl"]),
        log_evidence=float(result["logz"]),
        log_evidence_err=float(result["logzerr"]),
        n_calls=int(result["ncall"]),
        well_mixed=bool(order_test.get("converged", True)),
    )
