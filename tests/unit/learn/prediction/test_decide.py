"""From logits to classes and uncertainties: as the textbook has them, only faster."""

from __future__ import annotations

import math

import pytest
import torch

from mlex_jupyter.learn.prediction.decide import _block, decide, probabilities

VALUES = [3, 1, 7, 200, 9]


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_class_and_entropy_are_those_of_the_textbook(classes: int, layout: torch.memory_format) -> None:
    torch.manual_seed(classes)
    logits = (torch.randn(2, classes, 300, 170) * 4).to(memory_format=layout)
    found, unsure = decide(logits.clone(memory_format=torch.preserve_format), VALUES[:classes])
    assert torch.equal(found, torch.tensor(VALUES, dtype=torch.uint8)[logits.argmax(dim=1)])
    entropy = torch.distributions.Categorical(logits=logits.permute(0, 2, 3, 1)).entropy()
    wanted = entropy / math.log(classes) * 255 if classes > 1 else torch.zeros_like(entropy)
    assert (unsure.float() - wanted).abs().max() <= 0.51
    elsewhere = torch.empty(300, 170, dtype=torch.uint8), torch.empty(300, 170, dtype=torch.uint8)
    _block(logits[0].clone(), VALUES[:classes], *elsewhere)
    assert torch.equal(elsewhere[0], found[0]), "on other devices it is torch that decides"
    assert (elsewhere[1].int() - unsure[0].int()).abs().max() <= 1
    shares = probabilities(logits, classes)
    assert (shares.float() - logits.softmax(dim=1) * 255).abs().max() <= 0.51


def test_of_equals_the_first_is_taken_and_nothing_is_surer_than_sure() -> None:
    found, unsure = decide(torch.zeros(1, 3, 4, 5), VALUES[:3])
    assert (found == 3).all() and (unsure == 255).all()
    far = torch.zeros(1, 3, 4, 5)
    far[:, 1] = 1e4
    found, unsure = decide(far, VALUES[:3])
    assert (found == 1).all() and (unsure == 0).all()


def test_what_is_no_number_is_a_guess() -> None:
    _, unsure = decide(torch.full((1, 2, 3, 3), torch.nan), VALUES[:2])
    assert (unsure == 255).all()


def test_of_several_members_the_mean_decides_and_their_spread_is_the_doubt() -> None:
    torch.manual_seed(0)
    members = [torch.randn(2, 3, 200, 190) * 3 for _ in range(4)]
    together = torch.cat(members, dim=1)
    found, unsure = decide(together.clone(), VALUES[:3])
    shares = torch.stack([one.softmax(dim=1) for one in members])
    chosen = shares.mean(dim=0).argmax(dim=1)
    assert torch.equal(found, torch.tensor(VALUES[:3], dtype=torch.uint8)[chosen])
    spread = shares.std(dim=0, correction=0).gather(1, chosen[:, None])[:, 0]
    assert (unsure.float() - spread * 510).abs().max() <= 0.51
    assert (probabilities(together, 3).float() - shares.mean(dim=0) * 255).abs().max() <= 0.51


def test_members_that_say_the_same_leave_no_doubt_and_two_that_differ_all_of_it() -> None:
    one = torch.zeros(1, 2, 8, 8)
    one[:, 0] = 50
    assert decide(torch.cat([one, one], dim=1), VALUES[:2])[1].max() == 0
    assert decide(torch.cat([one, one.flip(1)], dim=1), VALUES[:2])[1].min() == 255
