"""Fader and Factor networks: their losses by hand, their training, what they find."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from skorch.callbacks import Callback
from torch import nn

from skastro.datasets import make_twin_spectra
from skastro.disentangling import (
    PUBLISHED_FACTOR_PARAMETERS,
    PUBLISHED_FADER_PARAMETERS,
    FactorDisentangler,
    FaderDisentangler,
    PolyDisentangler,
)
from skastro.disentangling._fader import label_edges
from skastro.disentangling._network_inputs import ResidualComponents
from skastro.disentangling._network_modules import (
    ConditionalAutoencoder,
    Critic,
    LabelClassifiers,
    gradient_penalty,
    kullback_leibler,
)
from skastro.disentangling._network_training import AdversarialNet
from skastro.metrics import twin_recovery_scorer
from skastro.preprocessing import append_conditions
from skastro.testing import (
    check_missing_equals_masked,
    check_refit_identical,
    check_row_permutation,
)

THREE = slice(-3, None)
SMALL = {
    "n_components": 4,
    "encoder_layer_sizes": (16,),
    "decoder_layer_sizes": (16,),
    "n_inputs": 20,
    "degree": 2,
    "max_epochs": 4,
    "random_state": 0,
}
FADER = FaderDisentangler(THREE, auxiliary_layer_sizes=(16,), n_label_bins=5, **SMALL)
FACTOR = FactorDisentangler(THREE, critic_layer_sizes=(16,), **SMALL)
BOTH = pytest.mark.parametrize("model", [FADER, FACTOR])


def strongest(data, n_bins=300):
    bins = np.sort(np.argsort(-data.X.std(axis=0))[:n_bins])
    return append_conditions(data.X[:, bins], data.u)


@pytest.fixture(scope="module")
def stars():
    return strongest(make_twin_spectra(300, random_state=0), 60)


@pytest.fixture(scope="module")
def twins():
    """Spectra of 300 bins about strong lines, of stars in pairs."""
    data = make_twin_spectra(1600, random_state=0)
    return strongest(data), data


def tensor(*values):
    return torch.tensor(values, dtype=torch.float32)


# -- losses by hand


def test_gradient_penalty_of_a_linear_and_of_a_quadratic_critic():
    points = tensor([3.0, 4.0], [0.0, 0.5])
    weight = tensor(6.0, 8.0)
    # the gradient is the weight, of length 10, wherever
    linear = gradient_penalty(lambda p: p @ weight, points)
    assert linear.item() == pytest.approx(81.0)
    # the gradient of |p|² / 2 is p, of lengths 5 and 0.5
    half_square = gradient_penalty(lambda p: (p**2).sum(1) / 2, points)
    assert half_square.item() == pytest.approx((16 + 0.25) / 2)


def linear_critic(weight, **params):
    """Return a critic of one bin, one label and one latent that is D(p) = p . w."""
    critic = Critic(1, 1, 1, (), "selu", 10.0, **params)
    with torch.no_grad():
        critic.network[0].weight.copy_(torch.tensor([weight]))
        critic.network[0].bias.zero_()
    return critic


def test_critic_loss_and_its_gradient():
    critic = linear_critic([0.0, 6.0, 8.0], recast_residuals=False)
    real, fake = tensor([1.0, 1.0, 0.0], [0.0, 1.0, 1.0]), tensor([0.0, 0.5, 0.25])
    fake = torch.cat([fake, fake])
    # means of real: (6 + 14) / 2, of fake: 3 + 2; the penalty is (10 - 1)²
    loss = critic.loss(real, fake)
    assert loss.item() == pytest.approx(-(10 - 5) + 10 * 81)
    assert critic.confusion(real, fake).item() == pytest.approx(5)
    loss.backward()
    # 10 d(|w| - 1)² / dw = 20 (|w| - 1) w / |w|
    expected = 180 * np.array([0, 0.6, 0.8]) - [0.5, 0.5, 0.25]
    assert_allclose(critic.network[0].weight.grad[0], expected, rtol=1e-5)


@pytest.mark.parametrize("recast_residuals", [False, True])
def test_critic_is_shown_stars_at_labels_of_others(recast_residuals):
    critic = linear_critic([0.0, 0.0, 0.0], recast_residuals=recast_residuals)

    class Autoencoder:
        @staticmethod
        def decode(z, u):
            return 10 * z + u

        @staticmethod
        def scaled(x):
            return x / 2

    n = 50
    u, z = torch.randn(n, 1), torch.randn(n, 1)
    x = 10 * z + u + 1.5
    real, fake = critic.examples(Autoencoder, x, u, z, Autoencoder.decode(z, u))
    assert torch.equal(real, torch.cat([x / 2, u, z], 1))
    assert torch.equal(fake[:, 2:], z)
    assert not torch.equal(fake[:, 1:2], u)
    assert torch.equal(fake[:, 1].sort().values, u[:, 0].sort().values)
    residual = 1.5 if recast_residuals else 0.0
    assert_allclose(fake[:, 0], (10 * z + fake[:, 1:2] + residual)[:, 0] / 2, atol=1e-5)


def test_classifier_loss_is_the_cross_entropy_of_the_bins():
    edges = np.array([[-0.5, 0.5], [0.0, 0.25]])
    classifiers = LabelClassifiers(1, edges, (), "selu", sees_labels=True)
    weights = np.array([[[1.0, 2.0], [0.0, 1.0], [-1.0, 0.5]]] * 2)
    weights[1] *= -0.5
    with torch.no_grad():
        for classifier, weight in zip(classifiers.classifiers, weights, strict=True):
            classifier[0].weight.copy_(torch.from_numpy(weight))
            classifier[0].bias.zero_()
    z, u = np.array([[0.3], [-2.0]]), np.array([[-0.5, 0.1], [0.7, -0.4]])
    expected = 0.0
    for j in range(2):
        # each classifier sees the latent, and the label that is not its own
        logits = np.hstack([z, u[:, [1 - j]]]) @ weights[j].T
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        bins = np.digitize(u[:, j], edges[j])
        expected -= log_p[[0, 1], bins].mean()
    z, u = (torch.tensor(a, dtype=torch.float32) for a in (z, u))
    assert classifiers.loss(z, u).item() == pytest.approx(expected, rel=1e-6)
    assert classifiers.confusion(z, u) == -classifiers.loss(z, u)


def test_edges_of_label_bins():
    U = np.array([[0.0], [1.0], [2.0], [10.0]])
    assert_allclose(label_edges(U, 2, "uniform"), [[5.0]])
    assert_allclose(label_edges(U, 2, "quantile"), [[1.5]])


def autoencoder(**params):
    params = {"variational": False, "activation": "selu"} | params
    return ConditionalAutoencoder(3, 1, 2, (5,), (5,), **params)


def test_divergence_agrees_with_torch():
    z, log_scatter = torch.randn(8, 3), torch.randn(8, 3)
    ours = kullback_leibler(z, log_scatter)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(z, log_scatter.exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    assert_allclose(ours, theirs.sum(1).mean(), rtol=1e-5)


def test_objectives():
    x, x_hat = torch.randn(8, 3), torch.randn(8, 3)
    z, log_scatter = torch.randn(8, 2), torch.randn(8, 2)
    error = ((x - x_hat) ** 2).mean()
    assert_allclose(autoencoder().objective(x, x_hat, z, None), error, rtol=1e-6)
    model = autoencoder(variational=True)
    with torch.no_grad():
        model.log_error.fill_(0.7)
        objective = model.objective(x, x_hat, z, log_scatter)
    likelihood = norm(x_hat, np.exp(0.7)).logpdf(x).sum(axis=1).mean()
    likelihood += 3 * np.log(2 * np.pi) / 2
    expected = kullback_leibler(z, log_scatter) - likelihood
    assert_allclose(objective, expected, rtol=1e-5)


def test_linear_path_begins_as_the_first_components():
    scatter = np.array([4.0, 1.0, 0.25], dtype=np.float32)
    model = autoencoder(scatter=scatter, variational=True)
    x, u = torch.randn(6, 3), torch.randn(6, 1)
    z, log_scatter = model.encode(x, u)
    assert_allclose(z.detach(), x[:, :2].numpy() / scatter[:2], rtol=1e-5)
    assert_allclose(log_scatter.detach(), -3.5)
    expected = np.hstack([x[:, :2].numpy(), np.zeros((6, 1))])
    assert_allclose(model(x, u).detach(), expected, atol=1e-6)


# -- training


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_fader_network_trains_as_it_would_by_hand(weight):
    torch.manual_seed(0)
    n = 32
    x, u = torch.randn(n, 3), torch.rand(n, 1) * 2 - 1
    edges = np.array([[-0.3, 0.4]])
    net = AdversarialNet(
        ConditionalAutoencoder,
        **{f"module__{k}": v for k, v in {
            "n_inputs": 3, "n_conditions": 1, "n_components": 2,
            "encoder_layer_sizes": (5,), "decoder_layer_sizes": (5,),
            "activation": "selu", "variational": False,
        }.items()},
        adversary=LabelClassifiers,
        **{f"adversary__{k}": v for k, v in {
            "n_components": 2, "edges": edges, "layer_sizes": (4,),
            "activation": "selu", "sees_labels": False,
        }.items()},
        weight=weight, adversary_lr=0.02, adversary_steps=1, n_steps=None,
        fresh_noise=0.0, bfloat16=False, optimizer=torch.optim.AdamW,
        optimizer__weight_decay=0.0, lr=0.01, max_epochs=5, batch_size=n,
        train_split=None, callbacks__print_log=None, verbose=0,
    )  # fmt: skip
    net.initialize()
    encoder, decoder = (nn.Sequential(*map(copied, m)) for m in (
        net.module_.encoder, net.module_.decoder
    ))  # fmt: skip
    (classifier,) = (nn.Sequential(*map(copied, m)) for m in net.adversary_.classifiers)
    net.partial_fit(x, u)
    first = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    second = torch.optim.Adam(classifier.parameters(), lr=0.02)
    bins = torch.from_numpy(np.digitize(u[:, 0], edges[0]))
    losses = []
    for _ in range(5):
        z = encoder(torch.cat([x, u], 1))
        second.zero_grad()
        nn.functional.cross_entropy(classifier(z.detach()), bins).backward()
        second.step()
        first.zero_grad()
        error = ((decoder(torch.cat([z, u], 1)) - x) ** 2).mean()
        entropy = nn.functional.cross_entropy(classifier(z), bins)
        (error - weight * entropy).backward()
        first.step()
        losses.append(error.item())
    assert_allclose(net.history[:, "train_loss"], losses, rtol=1e-4)
    assert_allclose(
        net.module_.encoder[0].weight.detach(), encoder[0].weight.detach(), atol=1e-5
    )


def copied(layer):
    return pickle.loads(pickle.dumps(layer))


def test_a_critic_takes_several_steps_for_one_of_the_autoencoder(stars):
    model = clone(FACTOR).set_params(n_critic=3, max_epochs=1, batch_size=100)
    begin = model.set_params(lr=1e-30).fit(stars).net_.module_.state_dict()
    once = clone(model).set_params(lr=1e-3, lr_schedule="constant", n_critic=6)
    once = once.set_params(weight_decay=0.0, clip_gradient_norm=None).fit(stars)
    # of six batches the last alone is the autoencoder's, and a first step of Adam
    # moves what it moves by the learning rate
    moved = once.net_.module_.state_dict()["encoder.0.weight"]
    assert (moved - begin["encoder.0.weight"]).abs().max() < 1.001e-3
    assert once.net_.n_steps_ == 6


@pytest.mark.parametrize(
    ("kind", "published", "millions"),
    [
        (FaderDisentangler, PUBLISHED_FADER_PARAMETERS, 98.4),
        (FactorDisentangler, PUBLISHED_FACTOR_PARAMETERS, None),
    ],
)
def test_published_configurations(kind, published, millions, stars):
    model = kind(THREE, **published)
    assert model.get_params()["encoder_layer_sizes"] == (2048, 512, 128, 32)
    if millions:
        with torch.device("meta"):
            net = ConditionalAutoencoder(
                7751, 3, 20, (2048, 512, 128, 32), (512, 2048, 8192), "selu", False
            )
            classifiers = LabelClassifiers(
                20, torch.zeros(3, 29), (512, 256), "selu", False
            )
            networks = net, classifiers
            n_params = sum(p.numel() for m in networks for p in m.parameters())
            assert n_params == pytest.approx(millions * 1e6, rel=0.005)
    critic = {"critic_layer_sizes": (32, 16)} if not millions else {}
    narrow = critic | {"encoder_layer_sizes": (32, 16), "decoder_layer_sizes": (16, 32)}
    model.set_params(**narrow, max_epochs=12, random_state=0, lr=1e-4).fit(stars)
    seen = model._inputs.encode(stars[:, :-3], None)
    assert_allclose(seen, 4 * stars[:, :-3] - 3.5, rtol=1e-6)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert_array_equal(model.latent_metric_, np.eye(20))


@BOTH
def test_a_killed_fit_goes_on_to_the_same_end(model, stars, tmp_path):
    class Kill(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise RuntimeError("killed")

    expected = clone(model).fit(stars)
    path = tmp_path / "fit.pt"
    fit = clone(model).set_params(checkpoint=path)
    with pytest.raises(RuntimeError, match="killed"):
        clone(fit).set_params(callbacks=[Kill()]).fit(stars)
    assert path.exists()

    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            Count.epochs += 1

    resumed = clone(fit).set_params(callbacks=[Count()]).fit(stars)
    assert 0 < Count.epochs < 4
    assert_array_equal(resumed.transform(stars), expected.transform(stars))
    assert resumed.loss_curve_ == expected.loss_curve_
    # what is done is not done again
    done = clone(fit).set_params(callbacks=[Kill()]).fit(stars)
    assert_array_equal(done.transform(stars), expected.transform(stars))
    # equal parameters are equal, however they are written
    same = clone(fit).set_params(encoder_layer_sizes=[np.int64(16)], n_inputs=20.0)
    same.set_params(n_inputs=np.int64(20), max_epochs=4).fit(stars)
    assert_array_equal(same.transform(stars), expected.transform(stars))
    with pytest.raises(ValueError, match="checkpoint of a fit to other data"):
        clone(fit).fit(stars[1:])
    with pytest.raises(ValueError, match="with other parameters or"):
        clone(fit).set_params(lr=1e-4).fit(stars)
    with pytest.raises(ValueError, match="in a folder that is not there"):
        clone(fit).set_params(checkpoint=tmp_path / "no" / "fit.pt").fit(stars)
    path.write_text("junk")
    with pytest.raises(ValueError, match="not a checkpoint"):
        clone(fit).fit(stars)


def test_early_stopping_returns_to_the_best_epoch(stars, tmp_path):
    model = clone(FADER).set_params(
        early_stopping=True,
        lr_schedule="constant",
        lr=0.05,
        n_iter_no_change=2,
        max_epochs=40,
        checkpoint=tmp_path / "fit.pt",
    )
    model.fit(stars)
    losses = model.net_.history[:, "valid_loss"]
    assert model.n_iter_ == len(losses) == np.argmin(losses) + 3 < 40
    # a fit that was stopped is at its end
    again = clone(model).fit(stars)
    assert again.n_iter_ == model.n_iter_
    assert_array_equal(again.transform(stars), model.transform(stars))
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.transform(stars), model.transform(stars))


def test_progress_is_shown_or_silent(stars, capsys):
    clone(FADER).fit(stars)
    assert capsys.readouterr() == ("", "")
    clone(FADER).set_params(verbose=1).fit(stars)
    error = capsys.readouterr().err
    assert "FaderDisentangler" in error and "4/4" in error and "loss=" in error


@BOTH
def test_half_precision_trains_as_well(model, stars):
    full = clone(model).set_params(max_epochs=20).fit(stars)
    half = clone(full).set_params(precision="bfloat16").fit(stars)
    assert half.loss_curve_ != full.loss_curve_
    assert half.loss_curve_[-1] == pytest.approx(full.loss_curve_[-1], rel=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@BOTH
def test_cuda_agrees_with_cpu(model, stars):
    cpu = clone(model).set_params(max_epochs=30).fit(stars)
    cuda = clone(cpu).set_params(device="cuda", precision="float32").fit(stars)
    assert cuda.score(stars) == pytest.approx(cpu.score(stars), abs=0.02)
    state = {k: v.cpu() for k, v in cuda.net_.module_.state_dict().items()}
    Z = cuda.transform(stars)
    cpu._inputs = cuda._inputs
    cpu.net_.module_.load_state_dict(state)
    assert_allclose(cpu.transform(stars), Z, atol=1e-4)


@BOTH
def test_callbacks_see_batches_and_may_set_the_rate(model, stars):
    seen = []

    class Look(Callback):
        def on_batch_begin(self, net, training=False, **kwargs):
            for group in net.optimizer_.param_groups:
                group["lr"] = 0.0

        def on_epoch_end(self, net, **kwargs):
            seen.append(net.history[-1, "batches", :, "train_loss"])

    model = clone(model).set_params(callbacks=[Look()], lr_schedule="constant")
    model.set_params(variational=False).fit(stars)
    assert len(seen) == 4 and len(seen[0]) == 3
    assert_allclose(model.loss_curve_, model.loss_curve_[0], rtol=0.05)


@BOTH
def test_held_out_spectra_are_not_kept(model, stars):
    model = clone(model).set_params(early_stopping=True, validation_fraction=0.5)
    model.fit(stars)
    assert model.net_.train_split is None
    held = stars[: len(stars) // 2]
    without = clone(model).set_params(early_stopping=False).fit(stars)
    larger = len(pickle.dumps(model)) - len(pickle.dumps(without))
    assert larger < 0.1 * held.nbytes


@BOTH
@pytest.mark.parametrize("fitted", ["f4", "f8"])
def test_either_precision_after_a_fit_to_either(model, fitted, stars):
    model = clone(model).fit(stars.astype(fitted))
    for dtype in ("f4", "f8"):
        X = stars.astype(dtype)
        Z = model.transform(X)
        assert Z.dtype == model.recast(X, X[:, -3:]).dtype == np.dtype(dtype)
        assert_allclose(Z, model.transform(stars), atol=1e-3)
        assert np.isfinite(model.score(X))


def test_an_autoencoder_that_would_not_be_trained(stars):
    with pytest.raises(ValueError, match=r"4 step.*`n_critic`-th, 50"):
        clone(FACTOR).set_params(n_critic=50, batch_size=1000).fit(stars)


def test_fits_do_not_mind_a_context_without_gradients(stars):
    with torch.no_grad():
        Z = clone(FACTOR).fit(stars).transform(stars)
    assert_array_equal(Z, clone(FACTOR).fit(stars).transform(stars))


# -- inputs


@pytest.mark.parametrize("n", [150, 400, 3000])
def test_noise_is_found_from_few_stars_too(n):
    rng = np.random.default_rng(0)
    U, axes = rng.uniform(-1, 1, (n, 1)), np.linalg.qr(rng.normal(size=(300, 3)))[0]
    S = rng.normal(size=(n, 3)) @ axes.T * 0.5 + 0.1 * rng.normal(size=(n, 300))
    inputs = ResidualComponents(100, 2).fit(S, U, 0, "auto")
    assert inputs.unit == pytest.approx(0.1, rel=0.25)
    assert inputs.fresh == 0


@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_components_are_in_units_of_the_noise(sigma):
    rng = np.random.default_rng(0)
    U = rng.uniform(-1, 1, (4000, 1))
    axes = np.linalg.qr(rng.normal(size=(50, 3)))[0].T
    # scatter of 0.3 in each of three directions
    S = 1 + U**2 + 0.3 * rng.normal(size=(4000, 3)) @ axes
    S += sigma * rng.normal(size=S.shape)
    inputs = ResidualComponents(3, 2).fit(S, U, 0, "auto")
    scatter = np.sqrt(3 * 0.3**2 / 50)
    assert inputs.unit == pytest.approx(max(sigma, scatter), rel=0.02)
    total = np.hypot(inputs.fresh * inputs.unit, sigma)
    assert total == pytest.approx(max(sigma, scatter), rel=0.03)
    assert_allclose(inputs.scatter * inputs.unit, np.hypot(0.3, sigma), rtol=0.05)
    back = inputs.decode(inputs.encode(S, U), U)
    assert np.std(back - S) == pytest.approx(
        sigma * np.sqrt(47 / 50), rel=0.03, abs=1e-5
    )


# -- what they find


@pytest.fixture(scope="module")
def fitted(twins):
    X, _ = twins
    model = FaderDisentangler(THREE, n_components=12, n_inputs=60, random_state=0)
    model.set_params(auxiliary_layer_sizes=(64,), max_epochs=120)
    return model.fit(X[:2400])


@pytest.mark.filterwarnings("ignore:Far outside")
def test_labels_cannot_be_told_from_latents_but_abundances_can(fitted, twins):
    X, data = twins
    train, test = np.arange(2400), np.arange(2400, 3200)
    Z = fitted.transform(X)
    forest = RandomForestRegressor(60, min_samples_leaf=5, random_state=0)
    for column in range(3):
        u = data.u[:, column]
        assert forest.fit(Z[train], u[train]).score(Z[test], u[test]) < 0.35
    by_name = dict(zip(data.element_names, data.abundances.T, strict=True))
    for element in ("N", "O"):
        a = by_name[element]
        linear = LinearRegression().fit(Z[train], a[train])
        assert linear.score(Z[test], a[test]) > 0.85


@pytest.mark.filterwarnings("ignore:Far outside")
def test_more_twins_are_found_than_by_polynomials(fitted, twins):
    X, data = twins
    test = slice(2400, 3200)
    poly = PolyDisentangler(THREE, n_components=20).fit(X[:2400])
    found = twin_recovery_scorer(fitted, X[test], data.y[test])
    assert found > 1.3 * twin_recovery_scorer(poly, X[test], data.y[test])


@pytest.mark.parametrize(
    ("model", "weight", "max_epochs"),
    [
        (FaderDisentangler(auxiliary_layer_sizes=(32,), n_label_bins=10), 0.1, 30),
        (FactorDisentangler(critic_layer_sizes=(32,), n_critic=5), 0.3, 50),
    ],
)
def test_the_adversary_hides_labels(model, weight, max_epochs):
    """Two latents could hold the label and the rest: against an adversary, the rest."""
    rng = np.random.default_rng(0)
    u, rest = rng.uniform(-1, 1, 2000), rng.normal(size=2000)
    S = np.column_stack([u, rest]) @ rng.normal(size=(2, 8))
    X = S + 0.05 * rng.normal(size=S.shape)
    model = clone(model).set_params(
        variational=False,
        n_components=2,
        input_scaling=(1.0, 0.0),
        encoder_layer_sizes=(32,),
        decoder_layer_sizes=(32,),
        batch_size=100,
        max_epochs=max_epochs,
        adversary_lr=0.01,
        random_state=0,
    )
    forest = RandomForestRegressor(40, min_samples_leaf=5, random_state=0)

    def told(weight, what):
        hiding = clone(model).set_params(disentangle_weight=weight)
        Z = hiding.fit_transform(X, conditions=u)
        return forest.fit(Z[::2], what[::2]).score(Z[1::2], what[1::2])

    assert told(0.0, u) > 0.97
    assert told(weight, u) < 0.85
    assert told(weight, rest) > 0.97


@pytest.mark.filterwarnings("ignore:Far outside")
def test_search_over_the_weight_by_recovered_twins(twins):
    X, data = twins
    search = GridSearchCV(
        clone(FADER).set_params(n_components=8, max_epochs=30),
        {"disentangle_weight": [1.0, 1e4]},
        scoring=twin_recovery_scorer,
        cv=GroupKFold(2),
    ).fit(X[:1600], data.y[:1600], groups=data.y[:1600])
    # so much weight leaves nothing of the chemistry
    assert search.best_params_ == {"disentangle_weight": 1.0}
    again = pickle.loads(pickle.dumps(search))
    assert_array_equal(again.transform(X[:5]), search.transform(X[:5]))


@BOTH
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": 30, "n_inputs": 20}, "at most `n_inputs`=20"),
        ({"input_scaling": (0.0, 1.0)}, "slope that is not 0"),
        ({"input_scaling": (1.0,)}, "slope that is not 0"),
        ({"encoder_layer_sizes": (8, 0)}, "`encoder_layer_sizes` must hold positive"),
        ({"device": "gpu"}, "`device` is 'gpu'"),
        ({"device": "meta"}, "`device` is 'meta'"),
        ({"early_stopping": True, "validation_fraction": 0.9999}, "too few"),
        (
            {"early_stopping": True, "validation_fraction": 0.99, "n_components": 9},
            "at most min.*=6 of the stars to train on",
        ),
        ({"lr": 1e6, "clip_gradient_norm": None}, "Training diverged"),
    ],
)
def test_parameters_that_cannot_be(model, params, message, stars):
    with pytest.raises(ValueError, match=message):
        clone(model).set_params(**params).fit(stars)


@BOTH
def test_networks_that_see_bins_cannot_see_gaps(model, stars):
    X = stars.copy()
    X[0, 0] = np.nan
    bins = clone(model).set_params(input_scaling=(1.0, 0.0), variational=False)
    with pytest.raises(ValueError, match='every bin.*NaN.*input_scaling="components"'):
        bins.fit(X)
    with pytest.raises(ValueError, match="no place for errors"):
        bins.fit(stars, sigma=0.1)


@BOTH
def test_gaps_and_errors_of_components(model, stars):
    """Scores of a spectrum with gaps are near those of the whole."""
    fitted = clone(model).fit(stars)
    whole = fitted.transform(stars)
    X = stars.copy()
    rng = np.random.default_rng(0)
    bins = X[:, fitted.spectrum_indices_]
    bins[rng.random(bins.shape) < 0.05] = np.nan
    X[:, fitted.spectrum_indices_] = bins
    found = fitted.transform(X)
    assert np.isfinite(found).all()
    assert np.mean((found - whole) ** 2) < 0.2 * whole.var()
    gaps = clone(model).fit(X).transform(X)
    assert np.isfinite(gaps).all()
    sigma = np.zeros_like(X)
    sigma[:, fitted.spectrum_indices_] = 0.05
    assert np.isfinite(clone(model).fit(X, sigma=sigma).transform(X, sigma=sigma)).all()


@BOTH
def test_one_door(model, stars):
    check_refit_identical(model, stars)
    check_row_permutation(model, stars, rtol=1e-5)
    X = stars.copy()
    X[::9, 3] = np.nan
    check_missing_equals_masked(model, X)
    labels, spectra = stars[:, THREE], stars[:, :-3]
    beside = clone(model).set_params(condition_columns=None)
    expected = beside.fit(spectra, conditions=labels).transform(
        spectra, conditions=labels
    )
    for unit in (2.0**-90, 2.0**90):
        single = (spectra * unit).astype(np.float32)
        reference = spectra.astype(np.float32)
        beside.fit(reference, conditions=labels)
        one = beside.transform(reference, conditions=labels)
        beside.fit(single, conditions=labels)
        assert_array_equal(beside.transform(single, conditions=labels), one)
    assert expected.shape == one.shape
    empty = np.vstack([spectra, np.full((4, spectra.shape[1]), np.nan)])
    more = np.vstack([labels, labels[:4]])
    beside.fit(empty, conditions=more)
    found = beside.transform(spectra, conditions=labels)
    assert_allclose(found, expected, atol=1e-4)  # where arrays lie, rounding differs
    with pytest.raises(ValueError, match="X says nothing"):
        beside.fit(np.ones_like(spectra), conditions=labels)


@BOTH
def test_small_sets_are_fitted_by_default(model):
    data = make_twin_spectra(30, random_state=0)
    quick = type(model)(max_epochs=2, random_state=0)
    quick.fit(data.X[:, :300], conditions=data.u)
    assert quick.transform(data.X[:5, :300], conditions=data.u[:5]).shape == (5, 20)


@BOTH
def test_callbacks_see_and_stop_epochs(model, stars):
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")

    class Watcher:
        def __init__(self, n):
            self.n, self.seen = n, 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            self.seen += context.task_name == "epoch"
            return self.seen >= self.n

    plain = clone(model).set_params(max_epochs=4).fit(stars)
    watcher = Watcher(99)
    watched = clone(model).set_params(max_epochs=4).set_callbacks(watcher).fit(stars)
    assert watcher.seen == 4
    assert_array_equal(watched.transform(stars), plain.transform(stars))
    stopped = clone(model).set_params(max_epochs=4).set_callbacks(Watcher(2)).fit(stars)
    assert stopped.n_iter_ == 2
    pickle.dumps(stopped.set_callbacks())
