import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from surgery import InputError, fit_probe
from surgery.probe import probe_fitting
from surgery.texts.text_split import split_texts

GENERATOR = torch.Generator().manual_seed(3)
LABELS = torch.tensor([0] * 140 + [1] * 60)
NOISY = torch.randn(200, 8, generator=GENERATOR) + LABELS[:, None] * torch.tensor([1.0, -1, 0.5, 0, 0, 0, 0, 0])
SEPARABLE = torch.randn(200, 8, generator=GENERATOR) + 8 * LABELS[:, None] * torch.eye(8)[0]


def losses(probe, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    logits = x.astype(np.float64) @ probe.weight.numpy().T + probe.bias.numpy()
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]


def test_the_split_is_ninety_to_ten_disjoint_stratified_and_fixed() -> None:
    train, test = split_texts(LABELS, 0.1, 0)
    assert sorted([*train, *test]) == list(range(200))
    assert (len(train), len(test), int(LABELS[test].sum())) == (180, 20, 6)
    assert np.array_equal(test, split_texts(LABELS, 0.1, 0)[1])
    assert not np.array_equal(test, split_texts(LABELS, 0.1, 1)[1])


def test_adam_is_the_plain_loop_of_the_paper() -> None:
    train = torch.from_numpy(split_texts(LABELS, 0.1, 7)[0])
    state = torch.get_rng_state()
    probe = fit_probe(NOISY, LABELS, seed=7, lr=1e-3, epochs=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(7)
    linear = torch.nn.Linear(8, 2)
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    moments = [[torch.zeros_like(p), torch.zeros_like(p)] for p in (weight, bias)]
    step = 0
    for _ in range(3):
        order = torch.randperm(180)
        for start in range(0, 180, 16):
            x, y = NOISY[train][order[start : start + 16]], LABELS[train][order[start : start + 16]]
            error = ((x @ weight.T + bias).softmax(1) - torch.eye(2)[y]) / len(y)
            step += 1
            for p, g, moment in zip((weight, bias), (error.T @ x, error.sum(0)), moments, strict=True):
                moment[0] = 0.9 * moment[0] + 0.1 * g
                moment[1] = 0.999 * moment[1] + 0.001 * g**2
                p.sub_(1e-3 * (moment[0] / (1 - 0.9**step)) / ((moment[1] / (1 - 0.999**step)).sqrt() + 1e-8))
    torch.testing.assert_close(probe.weight, weight, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(probe.bias, bias, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["adam", "logistic", "mean_difference"])
def test_separable_texts_are_separated(method: str) -> None:
    probe = fit_probe(SEPARABLE, LABELS, method, lr=1e-2, epochs=15)
    assert probe.metrics["train_accuracy"] == probe.metrics["test_accuracy"] == 1
    assert probe.weight[1, 0] > probe.weight[0, 0]


@pytest.mark.parametrize("method", ["adam", "logistic", "mean_difference", "random"])
def test_accuracies_and_losses(method: str) -> None:
    probe = fit_probe(NOISY, LABELS, method)
    train, test = split_texts(LABELS, 0.1, 0)
    x, y = NOISY.numpy(), LABELS.numpy()
    found = losses(probe, x, y)
    right = (x @ probe.weight.numpy().T + probe.bias.numpy()).argmax(1) == y
    expected = {
        "train_accuracy": right[train].mean(),
        "test_accuracy": right[test].mean(),
        "train_loss": found[train].mean(),
        "test_loss": found[test].mean(),
        "loss_avoided": found[test][y[test] == 1].mean(),
        "loss_other": found[test][y[test] == 0].mean(),
        "test_majority": 0.7,
        "n_train": 180,
        "n_test": 20,
        "n_test_distinct": 20,
    }
    assert probe.metrics == pytest.approx(expected, rel=1e-5)


def test_logistic_decides_as_scikit_learn() -> None:
    train, _ = split_texts(LABELS, 0.1, 0)
    reference = LogisticRegression(max_iter=1000).fit(NOISY.numpy()[train], LABELS.numpy()[train])
    probe = fit_probe(NOISY, LABELS, "logistic")
    logits = NOISY @ probe.weight.T + probe.bias
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], reference.decision_function(NOISY.numpy()), atol=1e-4)


def test_a_logistic_probe_that_did_not_reach_its_optimum_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_fitting, "STEPS", 2)
    with pytest.warns(UserWarning, match="stopped after 2 steps, before its optimum") as told:
        probe = fit_probe(NOISY, LABELS, "logistic")
    assert len({str(one.message) for one in told}) == 1
    assert "\n" not in str(told[0].message)
    assert probe.weight.isfinite().all()


def test_mean_difference() -> None:
    train, _ = split_texts(LABELS, 0.1, 0)
    x, y = NOISY.numpy()[train], LABELS.numpy()[train]
    means = x[y == 0].mean(0), x[y == 1].mean(0)
    probe = fit_probe(NOISY, LABELS, "mean_difference")
    np.testing.assert_allclose(probe.weight[1] - probe.weight[0], means[1] - means[0], atol=1e-5)
    middle = torch.tensor((means[0] + means[1]) / 2)
    np.testing.assert_allclose(*(probe.weight @ middle + probe.bias), atol=1e-5)


def test_random_has_the_norms_of_the_probe_it_replaces_and_another_direction() -> None:
    adam = fit_probe(NOISY, LABELS)
    for replaced in (adam, None):
        random = fit_probe(NOISY, LABELS, "random", replaces=replaced)
        torch.testing.assert_close(random.weight.norm(dim=1), adam.weight.norm(dim=1))
        assert torch.cosine_similarity(random.weight, adam.weight).abs().max() < 0.95
    assert not torch.equal(random.weight, fit_probe(NOISY, LABELS, "random", seed=1, replaces=adam).weight)


@pytest.mark.parametrize(
    ("features", "labels", "options", "says"),
    [
        (NOISY, LABELS * 0, {}, "class 1.* has 0 of 200"),
        (NOISY[:149], LABELS[:149], {}, "class 1.* has 9 of 149"),
        (NOISY[131:], LABELS[131:], {}, "class 0.* has 9 of 69"),
        (NOISY.where(NOISY < 2, float("nan")), LABELS, {}, "NaN"),
        (NOISY, LABELS * 2, {}, "labels are 0 and 1"),
        (NOISY[:-1], LABELS, {}, "don't match"),
        (NOISY, LABELS, {"method": "svm"}, "'svm' is unknown; it is one of adam, logistic, mean_"),
        (NOISY, LABELS, {"test_share": 0.0}, "share"),
        (NOISY, LABELS, {"test_share": 0.999}, "without one of the classes"),
        (NOISY, LABELS, {"test_share": 0.001}, "without one of the classes"),
        (NOISY.repeat(10, 1)[:1400], [0] * 1390 + [1] * 10, {"test_share": 0.01}, "without one of the classes"),
    ],
)
def test_what_no_probe_can_be_fitted_to(features, labels, options, says) -> None:
    with pytest.raises(InputError, match=says) as error:
        fit_probe(features, labels, **options)
    assert "\n" not in str(error.value)


def test_weight_decay_leads_from_what_separates_first_to_the_difference_of_the_class_means() -> None:
    """The L2 penalised optimum tends to a multiple of the mean difference as the penalty grows."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(400) % 2
    features = torch.randn(400, 12, generator=generator) * torch.linspace(0.2, 3, 12) + labels.unsqueeze(1) * 0.7
    means = features[labels == 1].mean(0) - features[labels == 0].mean(0)

    def cosine(weight_decay: float) -> float:
        probe = fit_probe(features, labels, lr=1e-3, epochs=60, weight_decay=weight_decay)
        return float(torch.cosine_similarity(probe.direction(1), means, dim=0))

    found = [cosine(0.0), cosine(0.1), cosine(100.0)]
    assert found == sorted(found)
    assert found[2] > 0.97
    assert found[0] < 0.9
