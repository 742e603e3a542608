"""Factor networks: a critic tells recast spectra from real ones."""

from numbers import Integral, Real

from ..utils.sklearn_names import Interval
from ._network_disentangler import AdversarialDisentangler


class FactorDisentangler(AdversarialDisentangler):
    r"""Disentangle by an autoencoder whose recast spectra a critic cannot tell.

    A decoder is given latent variables z and the labels u, so that z need not hold
    what u tells. A Wasserstein critic, trained beside it, compares (x, u, z) of stars
    with (x', u', z), where u' are the labels of other stars and x' the spectrum that
    the decoder makes of them; the autoencoder minimises the error of the
    reconstruction plus `disentangle_weight` times the distance that the critic finds.
    See :ref:`the user guide <disentangling>`.

    Parameters
    ----------
    condition_columns : int, slice, str, list, mask or callable, default=None
        The columns of X that hold known labels, as `ColumnTransformer` takes columns:
        ``slice(-3, None)`` for three labels at the end. The others are the bins of the
        spectrum. None if labels are given beside X, as ``conditions``.
    n_components : int or "auto", default="auto"
        Number of latent variables; "auto" is 20, or a third of the stars where that is
        less.
    disentangle_weight : float, default=1.0
        Weight of the adversary in what the autoencoder minimises: of a variational
        autoencoder, nats per star; otherwise the mean squared error of scaled spectra,
        and weights are much smaller. 0 trains without
        an adversary. It can be chosen by `GridSearchCV` with
        :func:`~skastro.metrics.twin_recovery_scorer`.
    variational : bool, default=True
        Whether latent variables are drawn from a normal distribution about the
        encoder's value, and pay for departing from a standard normal one. What the
        labels tell the decoder already is then not worth its price in z, and errors of
        z are known.
    input_scaling : "components" or tuple of float, default="components"
        What the network sees: principal components of what a polynomial of the labels
        leaves of each bin, in units of the noise; or every bin, scaled by a slope and
        an offset.
    n_inputs : int, default=100
        Number of these components, at most. Those that noise alone would give are left
        out, down to twice `n_components`; there are not more than bins, nor (beyond
        that) than a third of the stars.
    degree : int or "auto", default="auto"
        Highest total degree of that polynomial; "auto" is 4, or as high as five stars
        for each term of it allow.
    noise : "auto" or float, default="auto"
        Standard deviation of noise that is drawn anew for each star and step, in units
        of X. ``"auto"`` adds as much as makes the noise of a bin equal to the scatter
        of all else that stars differ by, if that is larger, and none where the network
        sees bins.
    encoder_layer_sizes, decoder_layer_sizes : tuple of int, default=(256, 256)
        Widths of the hidden layers. With ``input_scaling="components"`` a linear path
        runs beside them, which begins as the projection on the first components.
    critic_layer_sizes : tuple of int, default=(256, 256)
        Those of the critic.
    n_critic : int, default=1
        Steps of the critic for each one of the autoencoder, each with new stars.
    gradient_penalty : float, default=10.0
        Weight of the mean squared difference of the length of the critic's gradient,
        between real and recast stars, from 1.
    recast_residuals : bool, default=True
        Whether the critic is shown recast spectra with the residuals of the
        reconstruction. Without, it tells spectra with noise from those without.
    activation : {"relu", "silu", "gelu", "selu", "tanh"}, default="silu"
        Activation of all hidden layers.
    lr, adversary_lr : float, default=5e-3, 2e-3
        Learning rates of autoencoder and critic, the highest of the schedule.
    lr_schedule : {"one_cycle", "constant"}, default="one_cycle"
        One cycle warms up over 5 % of the steps, then anneals to zero.
    weight_decay : float, default=1e-4
        Decoupled weight decay of AdamW; at 0 it is Adam.
    clip_gradient_norm : float or None, default=1.0
        Longest gradient of the autoencoder in a step.
    batch_size : int, default=256
        Stars a step.
    max_epochs : int or "auto", default="auto"
        Passes over the data; ``"auto"`` takes as many as make 2,400 steps
        of the autoencoder.
    early_stopping : bool, default=False
        Whether to hold out stars and return to the epoch where their reconstruction
        was best. With a constant learning rate training also stops
        `n_iter_no_change` epochs later; a cycle is completed.
    validation_fraction : float, default=0.1
        The part held out.
    n_iter_no_change : int, default=20
        Epochs without improvement before stopping.
    checkpoint : path-like, default=None
        A file that keeps the state of the training, such that a fit which was killed
        goes on from it when it is begun again: on the same machine, to the same
        result. One path is for one fit, not for all of a search.
    callbacks : list of skorch callbacks, default=None
        Attached to the training, which of them `EarlyStopping` may end. A checkpoint
        does not keep their state.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of products in training; ``"auto"`` is bfloat16 on CUDA and float32 on CPU.
    device : str, default="cpu"
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    random_state : int, RandomState instance or None, default=None
        Seed of weights, batches, noise and held-out stars.
    verbose : int, default=0
        1 shows a progress bar, and logs how many of the stars that `transform` is given
        are out of what was learned.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        Holds the trained networks, ``net_.module_`` and ``net_.adversary_``, and
        ``net_.history`` of both losses; not for predictions of its own.
    n_iter_ : int
        Epochs.
    loss_curve_ : list of float
        Mean squared error of the reconstruction in training in each, scaled as the
        network sees spectra.
    latent_metric_ : ndarray of shape (n_components, n_components)
        The matrix M of the distance :math:`(z - z')^T M (z - z')` between stars: the
        inverse of v (1 - v) + 0.2, diagonal; v is the typical variance of a latent
        variable given a spectrum, at most 1, so that v (1 - v) is that of its mean
        among stars of one true value, and 0.2 is for what the fit leaves. The unit
        matrix where the autoencoder is not variational.
    residual_scatter_ : ndarray of shape (n_bins,)
        Standard deviation of what the reconstruction leaves of each bin, beside
        `sigma`, that `score_samples` compares residuals with.
    lowest_score_ : float
        What counts as learned: a star's log-likelihood less its expectation, in
        standard deviations, that all but 1 in 1,000 stars of the fit exceed. Of other
        stars the expectation is lower by what a fit gains on its own.
    latent_scatter_ : ndarray of shape (n_components,) or None
        Typical standard deviation of each latent variable, if variational.
    condition_indices_, spectrum_indices_ : ndarray of int
        Columns of X that are labels, and bins; no labels if they were beside X.
    condition_names_ : ndarray of str, of shape (n_conditions,)
        Names of the labels, if they had any.
    condition_range_ : ndarray of shape (n_conditions, 2)
        Range of each label in training; of kinds, of each level but the first.
    condition_mean_ : ndarray of shape (n_conditions,)
        Mean of each label in training, likewise.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had any.

    See Also
    --------
    FaderDisentangler : The same with another adversary.
    ConditionalFactorAnalysis : Integrates over missing and uncertain labels.

    Notes
    -----
    The configuration of the thesis is
    ``FactorDisentangler(**skastro.disentangling.PUBLISHED_FACTOR_PARAMETERS)``: spectra
    scaled to 4 x - 3.5, SELU, the autoencoder of
    :class:`FaderDisentangler`, a critic with layers of 4096, 1024, 512, 128 and 32
    units, a gradient penalty of 10, and 10 steps of the critic for each of the
    autoencoder. The thesis adds noise to spectra in each step: that of the survey is to
    be given as `noise`. It takes days on a GPU for 50,000 stars. The defaults are for
    minutes on a CPU, and recover more twins: see ``benchmarks/results``.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 4.3.2 and Eqs. 4.3
    to 4.7. I. Gulrajani et al. 2017, *Improved training of Wasserstein GANs*.
    D. P. Kingma & M. Welling 2014, *Auto-encoding variational Bayes*.

    Examples
    --------
    >>> from skastro.datasets import make_twin_spectra
    >>> from skastro.disentangling import FactorDisentangler
    >>> from skastro.preprocessing import append_conditions
    >>> data = make_twin_spectra(200, random_state=0)
    >>> X = append_conditions(data.X, data.u)
    >>> model = FactorDisentangler(slice(-3, None), max_epochs=5, random_state=0)
    >>> model.fit_transform(X).shape
    (400, 20)
    """

    _parameter_constraints: dict = {
        **AdversarialDisentangler._parameter_constraints,
        "critic_layer_sizes": ["array-like"],
        "n_critic": [Interval(Integral, 1, None, closed="left")],
        "gradient_penalty": [Interval(Real, 0, None, closed="left")],
        "recast_residuals": ["boolean"],
    }

    def __init__(
        self,
        condition_columns=None,
        *,
        n_components="auto",
        disentangle_weight=1.0,
        variational=True,
        input_scaling="components",
        n_inputs=100,
        degree="auto",
        noise="auto",
        encoder_layer_sizes=(256, 256),
        decoder_layer_sizes=(256, 256),
        critic_layer_sizes=(256, 256),
        n_critic=1,
        gradient_penalty=10.0,
        recast_residuals=True,
        activation="silu",
        lr=5e-3,
        adversary_lr=2e-3,
        lr_schedule="one_cycle",
        weight_decay=1e-4,
        clip_gradient_norm=1.0,
        batch_size=256,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=20,
        checkpoint=None,
        callbacks=None,
        precision="auto",
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.condition_columns = condition_columns
        self.n_components = n_components
        self.disentangle_weight = disentangle_weight
        self.variational = variational
        self.input_scaling = input_scaling
        self.n_inputs = n_inputs
        self.degree = degree
        self.noise = noise
        self.encoder_layer_sizes = encoder_layer_sizes
        self.decoder_layer_sizes = decoder_layer_sizes
        self.critic_layer_sizes = critic_layer_sizes
        self.n_critic = n_critic
        self.gradient_penalty = gradient_penalty
        self.recast_residuals = recast_residuals
        self.activation = activation
        self.lr = lr
        self.adversary_lr = adversary_lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.clip_gradient_norm = clip_gradient_norm
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _adversary(self, n_inputs, U):
        from ._network_modules import Critic

        params = {
            "n_inputs": n_inputs,
            "n_conditions": U.shape[1],
            "n_components": self._n_features_out,
            "layer_sizes": self._layers("critic_layer_sizes"),
            "activation": self.activation,
            "gradient_penalty": self.gradient_penalty,
            "recast_residuals": self.recast_residuals,
        }
        return Critic, params, self.n_critic
