"""Neural emulators of slow simulation codes."""

from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import refuse_units
from ..utils.emulator_range import check_extrapolation, in_box, training_domain
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import Interval, StrOptions, _fit_context, validate_data


def _divisor(scale):
    """Return a scale to divide by: 1 where it is 0, for a constant column."""
    return np.where(scale > 0, scale, 1.0)


class EmulatorRegressor(MultiOutputMixin, RegressorMixin, SkastroEstimator):
    r"""Neural network that stands in for a slow simulation code.

    A multilayer perceptron, or an ensemble of them, learns the outputs of a
    simulation from its input parameters, and predicts them in microseconds: fast
    enough to be the likelihood of a Bayesian inference. See
    :ref:`the user guide <emulation>`.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(64, 64, 64, 64)
        Widths of the hidden layers.
    activation : {"tanh", "silu", "gelu", "selu", "relu"}, default="tanh"
        Activation of the hidden layers. Smooth ones give smooth emulators.
    loss : {"huber", "squared_error", "absolute_error"}, default="huber"
        What training minimises, in units of the scaled targets.
    huber_delta : float, default=0.02
        Where the Huber loss turns from squared to absolute error.
    optimizer : {"soap", "adamw", "adam"}, default="soap"
        Optimiser. SOAP, Adam in the eigenbasis of Shampoo's preconditioner, takes a
        regression of a smooth function to about a tenth of the error of AdamW in a
        similar time.
    weight_decay : float, default=1e-4
        Decoupled weight decay of ``"soap"`` and ``"adamw"``.
    lr : float, default=1e-2
        Learning rate, the highest of the schedule. For ``"adam"`` and ``"adamw"``
        3e-3 is a better choice.
    lr_schedule : {"one_cycle", "constant"}, default="one_cycle"
        One cycle warms up over 15 % of the steps, then anneals to zero.
    batch_size : int, default=512
        Samples a step.
    max_epochs : int or "auto", default="auto"
        Passes over the data; ``"auto"`` takes as many as make 3,000 steps.
    clip_gradient_norm : float or None, default=1.0
        Longest gradient of a step.
    early_stopping : bool, default=False
        Whether to hold out part of the data and return to the epoch where its loss
        was lowest. With a constant learning rate training also stops there, after
        ``n_iter_no_change`` epochs; a cycle is completed, since the loss falls in the
        end of it.
    validation_fraction : float, default=0.1
        The part held out.
    n_iter_no_change : int, default=20
        Epochs without improvement before stopping.
    feature_scaling, target_scaling : {"standard", "minmax", None}, default="standard"
        Scaling of inputs and outputs inside the estimator.
    separate_outputs : bool, default=False
        Whether each output gets a network of its own, instead of one for all.
    n_members : int, default=1
        Networks in the ensemble; more than one gives ``return_std``.
    extrapolation : {"warn", "raise", "nan", "ignore"}, default="warn"
        What to do with samples outside the training range (see :meth:`in_domain`):
        predict them with a warning, raise, predict NaN, or predict them in silence.
    module : type of torch.nn.Module, default=None
        A network class of your own, called with ``n_features``, ``n_outputs`` and
        ``module_params``; the architecture parameters above are then ignored.
    module_params : dict, default=None
        Its further arguments, each also addressable as ``module__<name>``.
    callbacks : list of skorch callbacks, default=None
        Attached to every training run: all networks share them, and with ``n_jobs``
        they are copies.
    device : str, default="cpu"
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    n_jobs : int, default=None
        Networks trained in parallel, through joblib.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, batches and held-out samples.
    verbose : int, default=0
        1 shows a progress bar for each network.

    Attributes
    ----------
    nets_ : list of list of skorch.NeuralNet
        The trained networks: a list for each member of one net, or of one net an
        output.
    domain_ : ndarray of shape (2, n_features)
        Lowest and highest training inputs, widened by 1 % of the range, or by
        ``1 / n_samples`` of it where that is more.
    feature_shift_, feature_scale_ : ndarray of shape (n_features,)
        Scaling of the inputs; a scale of 0 marks a constant one.
    target_shift_, target_scale_ : ndarray of shape (n_outputs,)
        Scaling of the outputs; a constant one, of scale 0, is predicted as it was.
    n_outputs_ : int
        Number of outputs.
    n_features_in_ : int
        Number of inputs.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where ``X`` had them.

    Notes
    -----
    The configuration of the thesis (section 2.3: 200-100-50 ReLU units, Adam at
    1e-3, batches of 500, 20 epochs, inputs scaled to [0, 1], one network an output)
    is ``EmulatorRegressor(**skastro.emulation.PUBLISHED_PARAMETERS)``; it used the
    squared error for abundances and ``loss="absolute_error"`` for intensities. The
    defaults are more accurate for equal time: see ``benchmarks/results``.

    Networks are trained in single precision, and predict in the precision of ``X``.

    References
    ----------
    Holdship, Viti, Haworth & Ilee (2021), A&A 653, A76. Lakshminarayanan, Pritzel &
    Blundell (2017), *Simple and scalable predictive uncertainty estimation using deep
    ensembles*. Smith & Topin (2018), *Super-convergence*. Vyas et al. (2024), *SOAP:
    improving and stabilizing Shampoo using Adam*.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.emulation import EmulatorRegressor
    >>> X = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    >>> y = np.sin(3 * X[:, 0]) * np.exp(X[:, 1])
    >>> emulator = EmulatorRegressor((32, 32), max_epochs=100, random_state=0)
    >>> emulator.fit(X[:1500], y[:1500]).score(X[1500:], y[1500:]) > 0.999
    True
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions({"relu", "silu", "gelu", "selu", "tanh"})],
        "loss": [StrOptions({"huber", "squared_error", "absolute_error"})],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions({"soap", "adam", "adamw"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"one_cycle", "constant"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "clip_gradient_norm": [Interval(Real, 0, None, closed="neither"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "feature_scaling": [StrOptions({"standard", "minmax"}), None],
        "target_scaling": [StrOptions({"standard", "minmax"}), None],
        "separate_outputs": ["boolean"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "extrapolation": [StrOptions({"warn", "raise", "nan", "ignore"})],
        "module": [callable, None],
        "module_params": [dict, None],
        "callbacks": [list, None],
        "device": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(64, 64, 64, 64),
        *,
        activation="tanh",
        loss="huber",
        huber_delta=0.02,
        optimizer="soap",
        weight_decay=1e-4,
        lr=1e-2,
        lr_schedule="one_cycle",
        batch_size=512,
        max_epochs="auto",
        clip_gradient_norm=1.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=20,
        feature_scaling="standard",
        target_scaling="standard",
        separate_outputs=False,
        n_members=1,
        extrapolation="warn",
        module=None,
        module_params=None,
        callbacks=None,
        device="cpu",
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.huber_delta = huber_delta
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.clip_gradient_norm = clip_gradient_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.feature_scaling = feature_scaling
        self.target_scaling = target_scaling
        self.separate_outputs = separate_outputs
        self.n_members = n_members
        self.extrapolation = extrapolation
        self.module = module
        self.module_params = module_params
        self.callbacks = callbacks
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # -- parameters: module__<name> reaches into module_params

    def get_params(self, deep=True):
        """Get the parameters; ``deep`` lists ``module_params`` one by one too."""
        params = super().get_params(deep)
        if deep and isinstance(self.module_params, dict):
            params |= {f"module__{k}": v for k, v in self.module_params.items()}
        return params

    def set_params(self, **params):
        """Set parameters; ``module__<name>`` sets an entry of ``module_params``."""
        prefix = "module__"
        inner = {k: params.pop(k) for k in list(params) if k.startswith(prefix)}
        super().set_params(**params)
        if inner:
            inner = {k.removeprefix(prefix): v for k, v in inner.items()}
            self.module_params = (self.module_params or {}) | inner
        return self

    # -- fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Train the networks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Parameters of the simulations.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their outputs.

        Returns
        -------
        self : EmulatorRegressor

        Raises
        ------
        ValueError
            If X or y hold NaN or infinite values, or a parameter is out of range.
        """
        from ._training import affine, train_network

        refuse_units(X, "X")
        refuse_units(y, "y")
        X, y = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        self._y_ndim = y.ndim
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        self.domain_ = training_domain(X)
        self.feature_shift_, self.feature_scale_ = affine(X, self.feature_scaling)
        self.target_shift_, self.target_scale_ = affine(y, self.target_scaling)
        X = self._scale(X).astype(np.float32)
        y = (y - self.target_shift_) / _divisor(self.target_scale_)
        y = y.astype(np.float32)

        rng = check_random_state(self.random_state)
        train, validation = self._split(len(X), rng)
        groups = self._output_groups() * self.n_members
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(groups))
        nets = Parallel(n_jobs=self.n_jobs)(
            delayed(train_network)(
                *self._module(group),
                X[train],
                y[train, group],
                validation=(
                    None
                    if validation is None
                    else (X[validation], y[validation, group])
                ),
                settings=self,
                seed=int(seed),
                title=f"network {i + 1}/{len(groups)}",
            )
            for i, (group, seed) in enumerate(zip(groups, seeds, strict=True))
        )
        self._keep(nets)
        return self

    def _keep(self, nets):
        """Arrange trained nets by member, and stack them for prediction."""
        n_groups = len(self._output_groups())
        self.nets_ = [nets[i : i + n_groups] for i in range(0, len(nets), n_groups)]
        self._stacked = None
        if self.module is None:
            from ._networks import StackedNetworks

            modules = [net.module_ for net in nets]
            self._stacked = StackedNetworks(modules, self.activation)

    def _restore(self, states, y_ndim):
        """Take the weights of a file; see :mod:`skastro.io`."""
        from ._training import restore_network

        self._y_ndim = y_ndim
        self.n_outputs_ = len(self.target_shift_)
        groups = self._output_groups()
        nets = [
            restore_network(*self._module(groups[j]), states[i, j], self)
            for i, j in sorted(states)
        ]
        self._keep(nets)
        return self

    def _module(self, group):
        """Return the class and the arguments of a network for a group of outputs."""
        shape = {
            "n_features": self.n_features_in_,
            "n_outputs": group.stop - group.start,
        }
        if self.module is not None:
            return self.module, (self.module_params or {}) | shape
        if self.module_params:
            raise ValueError(
                f"`module_params` is {self.module_params!r}, but `module` is None; they"
                " are the arguments of a network class of your own."
            )
        sizes = tuple(self.hidden_layer_sizes)
        if not sizes or not all(isinstance(s, Integral) and s > 0 for s in sizes):
            raise ValueError(
                "`hidden_layer_sizes` must hold one or more positive integers, got"
                f" {self.hidden_layer_sizes!r}."
            )
        from ._networks import MultilayerPerceptron

        return MultilayerPerceptron, shape | {
            "hidden_layer_sizes": [int(size) for size in sizes],
            "activation": self.activation,
        }

    def _output_groups(self):
        """Return the outputs that each network of a member predicts."""
        if self.separate_outputs:
            return [slice(i, i + 1) for i in range(self.n_outputs_)]
        return [slice(0, self.n_outputs_)]

    def _split(self, n_samples, rng):
        """Return row indices for training and, for early stopping, for validation."""
        if not self.early_stopping:
            return slice(None), None
        n_validation = max(1, round(self.validation_fraction * n_samples))
        if n_validation >= n_samples:
            raise ValueError(
                f"`validation_fraction`={self.validation_fraction} of {n_samples}"
                " samples leaves none to train on."
            )
        order = rng.permutation(n_samples)
        return order[n_validation:], order[:n_validation]

    def _scale(self, X):
        """Scale inputs; constant ones are only shifted."""
        scale = _divisor(self.feature_scale_).astype(X.dtype)
        return (X - self.feature_shift_.astype(X.dtype)) / scale

    def _check_features(self, X):
        """Validate ``X``; at once if it is a plain, finite array of the right shape.

        Inside a likelihood, scikit-learn's general validation would take longer than
        the network.
        """
        if (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype in (np.float64, np.float32)
            and X.shape[0] > 0
            and X.shape[1] == getattr(self, "n_features_in_", -1)
            and not hasattr(self, "feature_names_in_")
            and np.isfinite(X).all()
        ):
            return X
        check_is_fitted(self)
        refuse_units(X, "X")
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=False)

    # -- predicting

    @property
    def has_spread(self):
        """Whether it is an ensemble, so that its spread is known."""
        return len(getattr(self, "nets_", ())) > 1

    def in_domain(self, X):
        """Whether samples lie within the training range, where emulation is sound.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Parameters of simulations.

        Returns
        -------
        inside : ndarray of shape (n_samples,), dtype bool
            True where every feature lies within ``domain_``.
        """
        X = self._check_features(X)
        return in_box(X, self.domain_)

    def _check_domain(self, X):
        return check_extrapolation(
            X,
            self.domain_,
            self.extrapolation,
            getattr(self, "feature_names_in_", None),
        )

    def predict(self, X, return_std=False):
        """Predict the outputs of simulations.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Parameters of simulations.
        return_std : bool, default=False
            Whether to return the spread of the ensemble too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Mean of the ensemble, in the dtype of X.
        y_std : ndarray of the same shape
            Its standard deviation over the members. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If samples lie outside the training range and ``extrapolation`` is
            ``"raise"``, or if ``return_std`` is asked of a single network.
        """
        X = self._check_features(X)
        if return_std and len(self.nets_) < 2:
            raise ValueError(
                "`return_std=True` needs an ensemble; this emulator was fitted with"
                f" n_members={len(self.nets_)}."
            )
        outside = self._check_domain(X)
        members = self._predict_members(X)
        if outside is not None:
            members[:, outside] = np.nan
        y = members[0] if len(members) == 1 else members.mean(axis=0)
        if self._y_ndim == 1:
            y = y[:, 0]
        if not return_std:
            return y
        y_std = members.std(axis=0, ddof=1)
        return y, y_std[:, 0] if self._y_ndim == 1 else y_std

    def _predict_members(self, X):
        """Return the outputs of each member, (n_members, n_samples, n_outputs)."""
        Z = self._scale(X)
        if self._stacked is not None and self.nets_[0][0].device == "cpu":
            y = self._stacked(Z)
        else:
            from ._networks import evaluate

            Z = Z.astype(np.float32)
            y = np.stack(
                [
                    evaluate(net.module_, Z, net.device)
                    for nets in self.nets_
                    for net in nets
                ]
            ).astype(X.dtype)
        if len(self.nets_[0]) > 1:
            y = y[..., 0].reshape(len(self.nets_), self.n_outputs_, len(X))
            y = np.swapaxes(y, 1, 2)
        y *= self.target_scale_.astype(X.dtype)
        y += self.target_shift_.astype(X.dtype)
        return y

    def predict_gradient(self, X):
        """Predict how the outputs change with the parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Parameters of simulations.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_features) \
or (n_samples, n_outputs, n_features)
            Derivatives of :meth:`predict`, mean of the ensemble.
        """
        import torch

        X = self._check_features(X)
        outside = self._check_domain(X)
        gradient = 0.0
        for nets in self.nets_:
            jacobians = []
            for net in nets:
                Z = torch.from_numpy(self._scale(X).astype(np.float32)).to(net.device)
                jacobian = torch.func.vmap(torch.func.jacrev(net.module_.eval()))(Z)
                jacobians.append(jacobian.detach().cpu().numpy())
            gradient = gradient + np.concatenate(jacobians, axis=1)
        gradient = gradient / len(self.nets_)
        scale = self.target_scale_[:, None] / _divisor(self.feature_scale_)
        gradient *= scale.astype(np.float32)
        gradient = gradient.astype(X.dtype)
        if outside is not None:
            gradient[outside] = np.nan
        return gradient[:, 0] if self._y_ndim == 1 else gradient
