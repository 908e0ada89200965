"""Ensembles: members that differ, the mean of what they say, and how far they are apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from torch import nn
from torch.nn import functional

from mlex_jupyter.errors import NotFound
from mlex_jupyter.learn.attempt import Attempt
from mlex_jupyter.learn.models import build
from mlex_jupyter.learn.prediction.task import Prediction
from tests.bench import segmented

ENSEMBLE = "mlex_jupyter.learn.models.ensemble:ensemble"


def made(**params: Any) -> Any:
    torch.manual_seed(0)
    return build(ENSEMBLE, {"size": "fast", **params}, channels=1, classes=3)


def test_its_probability_is_the_mean_of_its_members() -> None:
    network = made(members=3).eval()
    image = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        each_KBCHW = network.members_logits(image)
        assert each_KBCHW.shape == (3, 2, 3, 32, 32)
        mean = each_KBCHW.softmax(dim=2).mean(dim=0)
        assert torch.allclose(network(image).softmax(dim=1), mean, atol=1e-6)
        assert float(each_KBCHW.softmax(dim=2).std(dim=0).max()) > 0.01, "members differ"


def test_each_crop_trains_one_member_and_all_have_their_turn_though_a_batch_be_smaller() -> None:
    network = made(members=3).train()
    trained = []
    for _ in range(3):
        network.zero_grad(set_to_none=True)
        logits_BCHW = network(torch.randn(2, 1, 32, 32))
        logits_BCHW.square().mean().backward()
        trained.append([any(one.grad is not None for one in member.parameters()) for member in network.members])
    assert trained == [[True, True, False], [True, False, True], [False, True, True]]


def test_a_batch_comes_back_in_its_order() -> None:
    network = made(members=2).train()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()  # so that a picture's logits do not depend on the rest of the batch
    images = torch.randn(5, 1, 32, 32)
    with torch.no_grad():
        found = network(images)
        for index in range(5):
            assert torch.allclose(found[index], network.members[index % 2](images[[index]])[0], atol=1e-5)


def test_whose_turn_it_is_is_saved_so_that_a_resumed_training_goes_on_as_it_would_have() -> None:
    torch.manual_seed(1)
    batches = [(torch.randn(3, 1, 32, 32), torch.randint(0, 3, (3, 32, 32))) for _ in range(4)]

    def train(network: nn.Module, some: Any) -> None:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for image, target in some:
            optimizer.zero_grad()
            functional.cross_entropy(network(image), target).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    through, first = made(members=2).train(), made(members=2).train()
    train(through, batches)
    train(first, batches[:1])
    resumed = build(ENSEMBLE, {"size": "fast", "members": 2}, channels=1, classes=3).train()
    resumed.load_state_dict(first.state_dict())
    train(resumed, batches[1:])
    assert all(torch.equal(a, b) for a, b in zip(through.parameters(), resumed.parameters(), strict=True))


def test_sms_members_have_graphs_of_their_own() -> None:
    names = [set(member.state_dict()) for member in made(of="smsnet", members=3).members]
    assert names[0] != names[1] != names[2]


def test_an_ensemble_of_what_is_not_there_is_said_plainly() -> None:
    with pytest.raises(NotFound, match="No architecture 'unett'") as error:
        made(of="unett")
    assert "unet" in (error.value.hint or "")
    with pytest.raises(NotFound):
        made(of="ensemble")


def test_a_prediction_says_where_members_differ_after_one_pass_through_each(tmp_path: Path) -> None:
    network, trained = segmented.network(tmp_path / "trained", ENSEMBLE, members=3, size="fast")
    data = segmented.volume(tmp_path / "volume.zarr", 2, 96)
    job = segmented.job(tmp_path / "run", data, trained)
    prediction = Prediction(Attempt(job, job.job(), 1))
    backend, passes = prediction.segmenter.backend, []
    prediction.segmenter.backend = lambda images: passes.append(len(images)) or backend(images)  # type: ignore
    prediction.run()
    prediction.finish()
    assert sum(passes) == 2, "each slice once"
    grey = (torch.from_numpy(np.asarray(zarr.open_array(data, mode="r")[:])).float() - 120) / 30
    with torch.inference_mode():
        each_MBKHW = network.eval().members_logits(grey[:, None]).softmax(dim=2)
    spread, mean = each_MBKHW.std(dim=0, correction=0), each_MBKHW.mean(dim=0)
    wanted = spread.gather(1, mean.argmax(dim=1, keepdim=True))[:, 0] * 510
    made = np.asarray(zarr.open_group(tmp_path / "run/uncertainty.zarr", mode="r")["0"][...])
    assert made.max() > 5, "somewhere they differ"
    assert (np.abs(made - wanted.numpy()) < 1).mean() > 0.999, "but for classes that are as likely as each other"
