"""Two processes train as one that normalises each share of a batch by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from torch.nn import functional as F

from nasarch.search import ranks
from nasarch.search.evaluate import evaluate
from nasarch.search.train import Learner
from nasarch.search.train_plan import TrainPlan
from nasarch.search.train_run import _batches
from tests.train_small import SETTINGS, plan

PROCESSES = 2


def what() -> TrainPlan:
    return plan(replace(SETTINGS, drop_path=0.0, clip=0.5))


def learner() -> Learner:
    task = what()
    net = task.subject.build(0, aux_head=False).double()
    return Learner(net, task.settings, seed=0, colours=(task.data.mean, task.data.std))


def process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    task, one = what(), learner()
    one.start_epoch(0)
    for number, (x, y) in enumerate(_batches(task, 0)):
        one.step((x.double(), y), number)
    parameters = [parameter.detach().clone() for parameter in one.net.parameters()]
    state = one.state_dict()["net"]
    assert task.data.test is not None
    odd = task.data.test.subset(torch.arange(47))
    score = evaluate(one.net.float(), odd, task.data, batch_size=5, device=torch.device("cpu"), job=task.job)
    torch.save({"parameters": parameters, "state": state, "score": tuple(score)}, Path(folder) / f"{rank}.pt")
    ranks.leave()


def literal() -> list[Tensor]:
    """The same epoch by one process: the mean of the losses of both shares."""
    task, net = what(), learner().net.train()
    optimizer = torch.optim.SGD(net.parameters(), SETTINGS.lr, 0.9, weight_decay=3e-4)
    for x, y in _batches(task, 0):
        optimizer.zero_grad()
        shares = [F.cross_entropy(net(x[rank::PROCESSES].double()), y[rank::PROCESSES]) for rank in range(PROCESSES)]
        (sum(shares) / PROCESSES).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
    return [parameter.detach() for parameter in net.parameters()]


def test_an_epoch_is_that_of_one_process_with_batch_statistics_by_share(tmp_path: Path) -> None:
    multiprocessing.spawn(process, (str(tmp_path),), nprocs=PROCESSES)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES))
    for ours, theirs, expected in zip(first["parameters"], second["parameters"], literal(), strict=True):
        assert torch.equal(ours, theirs)
        torch.testing.assert_close(ours, expected, rtol=1e-8, atol=1e-8)
    assert all(torch.equal(value, second["state"][key]) for key, value in first["state"].items())  # statistics too, once they are kept
    assert first["score"] == second["score"] and first["score"][0] == 47
    task, alone = what(), learner()
    alone.net.load_state_dict(first["state"])
    assert task.data.test is not None
    odd = task.data.test.subset(torch.arange(47))
    score = evaluate(alone.net.float(), odd, task.data, batch_size=5, device=torch.device("cpu"), job=task.job)
    torch.testing.assert_close(score[:3], first["score"][:3], rtol=1e-5, atol=1e-5)
