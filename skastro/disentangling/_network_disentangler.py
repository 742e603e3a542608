"""What Fader and Factor networks share: all but the adversary."""

import copy
import hashlib
import os
from numbers import Integral, Real

import numpy as np
from sklearn.utils import gen_batches

from ..utils.arrays import power_of_two
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.seeds import draw_seed
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ._conditioned import ConditionedTransformer
from ._network_inputs import ResidualComponents, ScaledBins
from ._polynomials import degree_for
from ._scores import Scores, few_rows, independent, scatter_beside

#: Rows that pass a network at once.
ROWS = 4096
#: A reconstruction that is so many times worse than zeros is that of no fit.
DIVERGED = 1e3
#: What a fit leaves of labels in latent variables, in units of their prior variance.
MISFIT = 0.2
#: What "auto" allows.
MAX_COMPONENTS, MAX_DEGREE = 20, 4


class AdversarialDisentangler(LongFit, ConditionedTransformer):
    """Base class of autoencoders that are trained against an adversary.

    Subclasses define ``_adversary(n_inputs, U)``: class, arguments and
    steps of the adversary.
    """

    _parameter_constraints: dict = {
        **ConditionedTransformer._condition_constraints,
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "disentangle_weight": [Interval(Real, 0, None, closed="left")],
        "variational": ["boolean"],
        "input_scaling": [StrOptions({"components"}), "array-like"],
        "n_inputs": [Interval(Integral, 1, None, closed="left")],
        "degree": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "noise": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "encoder_layer_sizes": ["array-like"],
        "decoder_layer_sizes": ["array-like"],
        "activation": [StrOptions({"relu", "silu", "gelu", "selu", "tanh"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "adversary_lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"one_cycle", "constant"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "clip_gradient_norm": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "checkpoint": [str, os.PathLike, None],
        "callbacks": [list, None],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @long_fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None, conditions=None):
        """Train the autoencoder against its adversary.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, NaN where missing; with labels among the columns or beside them.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of the spectra; those of labels must be 0.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if they are not columns of X.

        Returns
        -------
        self : AdversarialDisentangler

        Raises
        ------
        ValueError
            If labels are missing in all rows, or constant, X says nothing or there is
            too little of it, a network that sees bins is given gaps or errors, a
            parameter is out of range, `checkpoint` is of another fit, or training
            diverges.
        """
        from ._network_training import saved_seed, train

        rows = self._fit_rows(X, y, sigma, conditions)
        S, U, sigma, _ = rows
        seed, kept = saved_seed(self.checkpoint)
        if seed is None or self.random_state is not None:
            seed = draw_seed(self.random_state)
        mark = None if self.checkpoint is None else self._fingerprint(S, U, sigma, seed)
        if kept not in (None, mark):
            raise ValueError(
                f"`checkpoint` is {str(self.checkpoint)!r}, a checkpoint of a fit to"
                " other data, with other parameters or from another `random_state`;"
                " give another path, or remove it."
            )
        rng = np.random.RandomState(seed)
        train_rows, held_rows = self._held_out(len(S), rng)
        labels = self._scale_conditions(U)
        self._n_features_out = self._choose_components(S[train_rows])
        self._inputs = self._new_inputs(S, labels[train_rows])
        part = None if sigma is None else sigma[train_rows]
        seed_of_inputs = draw_seed(rng)
        self._inputs.fit(
            S[train_rows], labels[train_rows], seed_of_inputs, self.noise, part
        )
        x = np.concatenate(
            [
                self._inputs.encode(
                    S[at], labels[at], None if sigma is None else sigma[at]
                ).astype(np.float32)
                for at in gen_batches(len(S), ROWS)
            ]
        )
        tensors = x, labels.astype(np.float32)
        n_inputs = x.shape[1]
        module_params = {
            "n_inputs": n_inputs,
            "n_conditions": U.shape[1],
            "n_components": self._n_features_out,
            "encoder_layer_sizes": self._layers("encoder_layer_sizes"),
            "decoder_layer_sizes": self._layers("decoder_layer_sizes"),
            "activation": self.activation,
            "variational": self.variational,
            "scatter": self._inputs.scatter,
        }
        # skorch shows a bar of its own, with losses
        with Progress(self, None, "training", "epoch", bar=False) as progress:
            self.net_ = train(
                self,
                module_params,
                self._adversary(n_inputs, tensors[1][train_rows]),
                [a[train_rows] for a in tensors],
                None if held_rows is None else [a[held_rows] for a in tensors],
                self._inputs.fresh,
                (mark, seed),
                progress,
            )
        self.n_iter_ = len(self.net_.history)
        self.loss_curve_ = self.net_.history[:, "train_loss"]
        self._set_metric(*tensors)
        rows = few_rows(rows.take(train_rows))
        self.residual_scatter_ = scatter_beside(self._residuals(rows), rows.sigma)
        n_fitted = self._inputs.n_polynomials + self._n_features_out
        self._note_scores(rows, n_fitted / len(S[train_rows]))
        return self

    def _choose_components(self, S):
        most = min(S.shape)
        if self.n_components == "auto":
            return max(1, min(MAX_COMPONENTS, len(S) // 3, S.shape[1]))
        if self.n_components > most:
            raise ValueError(
                f"`n_components`={self.n_components} must be at most min(n_samples,"
                f" n_bins)={most} of the stars to train on."
            )
        return self.n_components

    def _fingerprint(self, S, U, sigma, seed):
        from ..utils.networks import resolve_device

        quiet = ("verbose", "callbacks", "checkpoint", "random_state")
        params = {k: _plain(v) for k, v in self.get_params().items() if k not in quiet}
        params["condition_columns"] = self.condition_indices_.tolist()
        params["device"] = str(resolve_device(self.device)).split(":")[0]
        about = [
            type(self).__name__,
            sorted(params.items()),
            seed,
            S.shape,
            S.dtype.str,
        ]
        digest = hashlib.sha256(repr(about).encode())
        for rows in gen_batches(len(S), ROWS):
            digest.update(np.ascontiguousarray(S[rows]))
            digest.update(np.ascontiguousarray(U[rows]))
            if sigma is not None:
                digest.update(np.ascontiguousarray(sigma[rows]))
        return digest.hexdigest()

    def _held_out(self, n_samples, rng):
        """Return rows to train on and, for early stopping, rows to judge it by."""
        if not self.early_stopping:
            return slice(None), None
        n_held = max(1, round(self.validation_fraction * n_samples))
        if n_held >= n_samples - 1:
            raise ValueError(
                f"`validation_fraction`={self.validation_fraction} of {n_samples}"
                " samples leaves too few to train on."
            )
        order = rng.permutation(n_samples)
        return np.sort(order[n_held:]), np.sort(order[:n_held])

    def _new_inputs(self, S, labels):
        k = self._n_features_out
        if isinstance(self.input_scaling, str):
            if k > self.n_inputs:
                raise ValueError(
                    f"`n_components`={k} must be at most `n_inputs`={self.n_inputs},"
                    " the principal components that the network sees."
                )
            degree = self.degree
            if degree == "auto":
                degree = degree_for(labels, MAX_DEGREE)
            return ResidualComponents(self.n_inputs, degree, k, power_of_two(S))
        try:
            slope, offset = map(float, self.input_scaling)
            if slope == 0 or not np.isfinite([slope, offset]).all():
                raise ValueError
        except (TypeError, ValueError):
            raise ValueError(
                "`input_scaling` must be 'components', or a slope that is not 0 and an"
                f" offset, such as (4.0, -3.5); got {self.input_scaling!r}."
            ) from None
        return ScaledBins(slope, offset)

    def _layers(self, name):
        sizes = tuple(getattr(self, name))
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(f"`{name}` must hold positive integers, got {sizes!r}.")
        return [int(size) for size in sizes]

    def _set_metric(self, x, u):
        """Set the metric, by the errors of the latent variables."""
        z, log_scatter = self._in_parts(self.net_.module_.eval().encode, x, u)
        size = np.mean([np.square(x[r]).mean() for r in gen_batches(len(x), ROWS)])
        whole = all(np.isfinite(a).all() for a in (z, log_scatter) if a is not None)
        # so much worse than nothing at all
        if not (whole and self.loss_curve_[-1] < DIVERGED * size):
            raise ValueError(
                "Training diverged: the reconstruction's mean squared error is"
                f" {self.loss_curve_[-1]:.2g}, that of zeros {size:.2g}. Lower `lr`,"
                f" {self.lr}, `adversary_lr`, {self.adversary_lr}, or"
                f" `disentangle_weight`, {self.disentangle_weight}."
            )
        self.latent_scatter_ = None
        metric = np.ones(self._n_features_out)
        if self.variational:
            variance = np.exp(2 * log_scatter.astype(np.float64)).mean(axis=0)
            self.latent_scatter_ = np.sqrt(variance)
            # means of the posterior are nearer to each other than true values are
            shrinkage = np.clip(1 - variance, 0, 1)
            metric = 1 / (variance * shrinkage + MISFIT)
        self.latent_metric_ = np.diag(metric)

    def _in_parts(self, function, *arrays):
        """Return what a function of tensors gives, of some rows at once."""
        import torch

        from ..utils.networks import tensor

        parts = []
        with torch.no_grad():
            for rows in gen_batches(len(arrays[0]), ROWS):
                part = function(*(tensor(a[rows], self.net_.device) for a in arrays))
                parts.append(part if isinstance(part, tuple) else (part,))
        return [
            None if part[0] is None else torch.cat(part).cpu().numpy()
            for part in zip(*parts, strict=True)
        ]

    def _module(self, dtype):
        """Return the autoencoder for numbers of one precision."""
        module = self.net_.module_.eval()
        return module if dtype == np.float32 else copy.deepcopy(module).double()

    def _encode(self, S, U, sigma=None):
        encode = self._module(S.dtype).encode
        Z = np.empty((len(S), self._n_features_out), S.dtype)
        for rows in gen_batches(len(S), ROWS):
            labels = self._scale_conditions(U[rows])
            errors = None if sigma is None else sigma[rows]
            x = self._inputs.encode(S[rows], labels, errors)
            Z[rows] = self._in_parts(encode, x, labels.astype(x.dtype))[0]
        return Z

    def _residuals(self, rows):
        return (rows.S - self._reconstructed(rows)).astype(np.float64)

    def _scores(self, rows):
        parts = []
        for at in gen_batches(len(rows.S), ROWS):
            some = rows.take(at)
            parts.append(
                independent(self._residuals(some), self.residual_scatter_, some.sigma)
            )
        return Scores.of_parts(parts, 1.0)

    def _decode(self, Z, U):
        decode = self._module(Z.dtype).decode
        S = np.empty((len(Z), len(self.spectrum_indices_)), Z.dtype)
        for rows in gen_batches(len(Z), ROWS):
            labels = self._scale_conditions(U[rows])
            (x,) = self._in_parts(decode, Z[rows], labels.astype(Z.dtype))
            S[rows] = self._inputs.decode(x, labels)
        return S

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # a network that sees every bin has no place for a gap
        tags.input_tags.allow_nan = isinstance(self.input_scaling, str)
        return tags


def _plain(value):
    """Return a parameter such that equal values are written alike."""
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(v) for v in value]
    return value
