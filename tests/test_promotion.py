"""Who becomes champion."""

from experiments.promotion import verdict


def version(accuracy: float = 0.99, loss: float = 0.1, digest: str = "a", canonical: bool = True):
    return {
        "val_accuracy": accuracy,
        "val_loss": loss,
        "data_digest": digest,
        "canonical": canonical,
    }


def test_the_first_is_champion() -> None:
    assert verdict(version(0.1), None) == (True, "there was no champion")


def test_better_on_validation_wins() -> None:
    assert verdict(version(0.992), version(0.991))[0]
    assert not verdict(version(0.990), version(0.991))[0]


def test_equal_accuracy_lower_loss_wins() -> None:
    assert verdict(version(loss=0.09), version(loss=0.1))[0]
    assert not verdict(version(loss=0.1), version(loss=0.1))[0]


def test_other_data_do_not_compare() -> None:
    promoted, reason = verdict(version(1.0, digest="b"), version(0.5))
    assert not promoted and "do not compare" in reason


def test_canonical_data_win_over_foreign() -> None:
    foreign = version(1.0, digest="b", canonical=False)
    assert verdict(version(0.5), foreign)[0]
    assert not verdict(foreign, version(0.5))[0]


def test_reason_has_both_numbers() -> None:
    _, reason = verdict(version(0.992), version(0.991))
    assert "0.9920" in reason and "0.9910" in reason


def robust(**numbers: float) -> dict:
    return {"robustness": {name.replace("__", "/"): value for name, value in numbers.items()}}


def test_less_robust_beyond_noise_is_no_champion() -> None:
    champion = version(0.990) | robust(corruption__rotate=0.90, ece__validation=0.002)
    slightly = version(0.992) | robust(corruption__rotate=0.88, ece__validation=0.004)
    assert verdict(slightly, champion)[0]
    clearly = version(0.992) | robust(corruption__rotate=0.80, ece__validation=0.002)
    promoted, reason = verdict(clearly, champion)
    assert not promoted and "corruption/rotate (0.8000 against 0.9000" in reason
    unsure = version(0.992) | robust(corruption__rotate=0.95, ece__validation=0.02)
    assert not verdict(unsure, champion)[0]


def test_a_champion_without_a_card_gives_way() -> None:
    promoted, reason = verdict(version(0.98) | robust(corruption__rotate=0.1), version(0.99))
    assert promoted and "no robustness card" in reason


def test_noise_is_known_for_canonical_data_only() -> None:
    own = {"canonical": False}
    champion = version(0.990) | robust(corruption__rotate=0.90) | own
    assert verdict(version(0.992) | robust(corruption__rotate=0.5) | own, champion)[0]


def test_noise_goes_by_name_before_group() -> None:
    champion = version(0.990) | robust(corruption__fog=0.90, refused__fashion_mnist=0.98)
    assert verdict(version(0.992) | robust(corruption__fog=0.82), champion)[0]
    assert not verdict(version(0.992) | robust(corruption__fog=0.80), champion)[0]
