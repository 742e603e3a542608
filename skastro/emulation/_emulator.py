"""Neural emulators of slow simulation codes."""

import copy
from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import MultiOutputMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import validate
from ..utils.emulator_range import (
    ScoredEverywhere,
    check_extrapolation,
    in_box,
    training_domain,
)
from ..utils.estimator import SkastroEstimator
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ._architecture import ModuleParameters, architecture, held_out, output_groups
from ._prediction import divisor, gradients, outputs, scaled


class EmulatorRegressor(
    LongFit, MultiOutputMixin, ScoredEverywhere, ModuleParameters, SkastroEstimator
):
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
        Lowest and highest training inputs, widened by 1 % of the range, or by twice
        the distance of neighbouring ones there where that is more.
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

    # -- fitting

    @long_fit
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
            If X or y hold NaN, masked or infinite values, or parameters do not fit.
        TypeError
            If X or y carry a unit.
        """
        from ._training import affine, train_network

        X, y = validate(
            self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        self._y_ndim = y.ndim
        # in double precision, in which scales of any unit can be squared
        y = y.reshape(len(y), -1).astype(np.float64)
        self.n_outputs_ = y.shape[1]
        self.domain_ = training_domain(X)
        wide = X.astype(np.float64)
        self.feature_shift_, self.feature_scale_ = affine(wide, self.feature_scaling)
        self.target_shift_, self.target_scale_ = affine(y, self.target_scaling)
        X = scaled(self, X).astype(np.float32)
        y = (y - self.target_shift_) / divisor(self.target_scale_)
        y = y.astype(np.float32)

        rng = check_random_state(self.random_state)
        train, validation = held_out(self, len(X), rng)
        groups = output_groups(self) * self.n_members
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(groups))
        settings = copy.copy(self)
        for name in ("_skl_callbacks", "_callback_fit_ctx"):  # of this process
            settings.__dict__.pop(name, None)

        def part(rows, group):
            return None if rows is None else (X[rows], y[rows, group])

        tasks = (
            delayed(train_network)(
                *architecture(self, group),
                *part(train, group),
                validation=part(validation, group),
                settings=settings,
                seed=int(seed),
                title=f"network {i + 1}/{len(groups)}",
            )
            for i, (group, seed) in enumerate(zip(groups, seeds, strict=True))
        )
        nets = []
        # each network shows a bar of its own
        with Progress(self, len(groups), "networks", "network", bar=False) as progress:
            for net in Parallel(self.n_jobs, return_as="generator")(tasks):
                nets.append(net)
                progress.step()
        self._keep(nets)
        return self

    def _keep(self, nets):
        """Arrange trained nets by member, and stack them for prediction."""
        n_groups = len(output_groups(self))
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
        groups = output_groups(self)
        nets = [
            restore_network(*architecture(self, groups[j]), states[i, j], self)
            for i, j in sorted(states)
        ]
        self._keep(nets)
        return self

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
        return validate(self, X, reset=False)

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
        members = outputs(self, X)
        if outside is not None:
            members[:, outside] = np.nan
        y = members[0] if len(members) == 1 else members.mean(axis=0)
        if self._y_ndim == 1:
            y = y[:, 0]
        if not return_std:
            return y
        y_std = members.std(axis=0, ddof=1)
        return y, y_std[:, 0] if self._y_ndim == 1 else y_std

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
        X = self._check_features(X)
        outside = self._check_domain(X)
        gradient = gradients(self, X)
        if outside is not None:
            gradient[outside] = np.nan
        return gradient[:, 0] if self._y_ndim == 1 else gradient
