"""What went wrong while sampling, told once for all objects."""

from ..utils.warn import warn

#: Effective sample size below which means and intervals are rough.
_FEW = 100


def report(outcomes, forward, max_calls, strict=True):
    """Warn of what went wrong; raise if nothing went.

    Parameters
    ----------
    outcomes : list of Outcome or None
        None for an object without data.
    forward : ForwardModel
        The forward model, which knows its range.
    max_calls : int or None
        The parameter, for the message.
    strict : bool, default=True
        Whether to raise if there is no posterior of any object.

    Raises
    ------
    ValueError
        If there is no posterior of any object.
    """
    solved = [o for o in outcomes if o is not None]
    many = len(outcomes) > 1
    of = f" of {len(outcomes)} objects" if many else ""
    failed = [o for o in solved if o.posterior is None]
    if strict and failed and len(failed) == len(solved):
        raise ValueError(_nothing(failed))
    for message in (
        _empty(len(outcomes) - len(solved), of),
        _failed(failed, of),
        _mixed(sum(not o.well_mixed for o in solved), many, of),
        _outside(solved, forward),
        _unsolved(solved),
        _early([o for o in solved if not o.complete], many, of, max_calls),
        _rough(solved, many, of),
    ):
        if message:
            # whose line: that of `fit`, behind its three decorators
            warn(message)


def _nothing(failed):
    """Say why no object has a posterior."""
    n_evaluated = sum(o.n_calls for o in failed)
    if sum(o.n_unsolved + o.n_outside for o in failed) == n_evaluated:
        return (
            f"`forward_model` had no solution (NaN) in any of {n_evaluated}"
            " evaluations over the prior: there is nothing to retrieve."
        )
    return (
        f"None of {n_evaluated} models of the prior is below all upper limits that"
        " have no error. Give them errors, or check them."
    )


def _empty(n, of):
    return n and f"{n}{of} have no data, and NaN for a posterior."


def _failed(failed, of):
    return failed and (
        f"For {len(failed)}{of} `forward_model` had no solution (NaN) anywhere, or none"
        " below limits without an error; they have NaN for a posterior."
    )


def _mixed(n, many, of):
    return n and (
        "The insertion order of new points is not uniform"
        + (f" for {n}{of}" if many else "")
        + ": they depend on those they replaced, and the evidence may be"
        " biased. Raise `n_steps` or `n_live_points`."
    )


def _outside(solved, forward):
    """Say how much of the sampling an emulator knew nothing of."""
    share = _share(solved, "n_outside")
    if share <= 0.01:
        return None
    who = forward.reach()[1] or "no parameter alone, but several together"
    return (
        f"{100 * share:.0f} % of the evaluations lay outside the range that"
        f" `forward_model` has learned ({who}), and were taken as impossible: the"
        " posterior ends there. Train the emulator on a wider design."
    )


def _unsolved(solved):
    """Say how often the model had no solution where it should have one."""
    if _share(solved, "n_unsolved") <= 0.01:
        return None
    n_unsolved = sum(o.n_unsolved for o in solved)
    return (
        f"The forward model had no solution (NaN) in {n_unsolved} of"
        f" {sum(o.n_calls for o in solved)} evaluations, which were taken as"
        " impossible."
    )


def _early(stopped, many, of, max_calls):
    """Say that evaluations ran out, and how far they went."""
    if not stopped:
        return None
    sizes = [o.posterior.effective_sample_size for o in stopped if o.posterior]
    sampled = stopped[0].sampler == "importance" and sizes
    return (
        ("The run" if not many else f"The runs of {len(stopped)}{of}")
        + f" stopped at `max_calls`={max_calls} evaluations, before"
        " convergence"
        + (f", with an effective sample size of {min(sizes):.0f}" if sampled else "")
        + "; evidence and posterior are not final."
    )


def _rough(solved, many, of):
    """Say of how many objects there are too few independent samples."""
    sizes = [
        o.posterior.effective_sample_size
        for o in solved
        if o.posterior is not None and o.complete
    ]
    few = [size for size in sizes if round(size) < _FEW]
    if not few:
        return None
    whose = f" for {len(few)}{of}, down to {min(few):.0f}"
    return (
        "The effective sample size is "
        + (f"below {_FEW}{whose}" if many else f"{few[0]:.0f}, below {_FEW}")
        + ": means and intervals are rough. Raise `n_live_points` (or `min_ess`, of"
        " importance sampling); if one line's error is far smaller than the others',"
        " that line decides alone: check its error."
    )


def _share(solved, count):
    """Return the share of all evaluations."""
    return sum(getattr(o, count) for o in solved) / max(
        1, sum(o.n_calls for o in solved)
    )
