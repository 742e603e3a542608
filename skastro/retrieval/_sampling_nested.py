"""UltraNest, driven quietly, reproducibly, and with whole batches."""

import contextlib
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.seeds import numpy_seed
from ..utils.warn import warn

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


def _counted(log_likelihood, step):
    """Wrap a likelihood so that every thousand of its evaluations are a step."""
    n_calls, best = 0, -np.inf

    def counted(theta):
        nonlocal n_calls, best
        values = log_likelihood(theta)
        best = max(best, values.max(initial=-np.inf))
        before, n_calls = n_calls, n_calls + len(theta)
        for _ in range(n_calls // 1000 - before // 1000):
            step(**{"best ln L": f"{best:.2f}"})
        return values

    return counted


def _with_errors(log_likelihood, handling):
    """Wrap a likelihood so that numpy's errors are handled in it as for the caller."""

    def handled(theta):
        with np.errstate(**handling):
            return log_likelihood(theta)

    return handled


def is_first_process(verbose=0):
    """Tell the only process, or the first of those under MPI, from the others.

    UltraNest asks for MPI itself, and runs without it where it cannot be had.

    Parameters
    ----------
    verbose : int, default=0
        Whether to say that MPI was left alone.

    Returns
    -------
    first : bool
    """
    try:
        from mpi4py import MPI
    except ImportError:
        return True
    except Exception as error:  # mpi4py is there, but no MPI library that it can load
        if verbose:
            from tqdm.auto import tqdm

            tqdm.write(f"MPI is left alone: {error}", file=sys.stderr)
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
        warn(
            f"The points of a killed run cannot be read; they are now {str(aside)!r},"
            " and the run starts again.",
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
    step=None,
    cheap=False,
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
    step : callable, default=None
        Counts a thousand evaluations.
    cheap : bool, default=False
        Whether more evaluations cost less than to find the region that they are drawn
        from more often.

    Returns
    -------
    run : NestedSamplingRun
    """
    import ultranest
    from ultranest import popstepsampler

    if step is not None:
        log_likelihood = _counted(log_likelihood, step)
    if log_dir is not None and is_first_process():
        _set_aside_broken(Path(log_dir) / "results" / "points.hdf5")
    if n_steps == "auto":
        n_steps = 4 * len(names)
    if sampler == "auto":
        sampler = "region" if len(names) <= _REGION_MAX_DIMENSION else "slice"
    # where nothing is possible, rounding makes UltraNest's information negative
    log_likelihood = _with_errors(log_likelihood, np.geterr())
    with numpy_seed(seed), _silence(), np.errstate(invalid="ignore"):
        nested = ultranest.ReactiveNestedSampler(
            list(names),
            log_likelihood,
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
                update_interval_volume_fraction=0.2 if cheap else 0.8,
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
