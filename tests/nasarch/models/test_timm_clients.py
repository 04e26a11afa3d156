"""What is done with timm's models works with these: training tools, types and places, saving and loading, tracing and compiling."""

import copy
import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters, save_for_hf
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from nasarch.cells.genotype import resolve
from nasarch.models.network import CellNetwork
from tests.helpers.small_models import KINDS, images, small, without_gradient

script_warns = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
fx_warns = pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing:UserWarning")


# --- training --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features_only", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_gradient_checkpointing_changes_nothing(name: str, features_only: bool) -> None:
    gradients = []
    for enable in (False, True):
        model = small(name, features_only=features_only, drop_path_rate=0.3).double().train()
        model.set_grad_checkpointing(enable)
        torch.manual_seed(1)
        out = model(images(name).double())
        (sum(m.pow(2).mean() for m in out) if features_only else out.pow(2).mean()).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_gradient_checkpointing_keeps_less() -> None:
    def saved(enable: bool) -> int:
        model, kept = small("pc_darts_cifar").train(), []
        model.set_grad_checkpointing(enable)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            model(images("pc_darts_cifar"))
        return sum(kept)

    assert saved(True) < saved(False) / 2


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_layer_groups_cover_all_and_follow_the_depth(name: str, coarse: bool) -> None:
    model = small(name)
    groups = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
    assert set(groups) == {n for n, _ in model.named_parameters()}
    of_cells = [groups[n] for n in groups if n.startswith("cells.")]
    assert of_cells == sorted(of_cells) and groups["stem.0.0.weight"] == 0
    assert groups["fc.weight"] == max(groups.values()) > max(of_cells)
    assert len(set(of_cells)) == (3 if coarse else len(model.cells))


def test_layer_decay_works() -> None:
    optimizer = create_optimizer_v2(small("pc_darts_imagenet"), opt="sgd", lr=0.1, layer_decay=0.5)
    assert len({group["lr_scale"] for group in optimizer.param_groups}) == 7  # stem, five cells, head


# --- places, types, input channels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_bfloat16_after_float32_stays_bfloat16(name: str) -> None:
    model, x = small(name).eval(), images(name)
    with torch.no_grad():
        assert model(x).dtype == torch.float32
        assert model.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16
    born = small(name, dtype=torch.bfloat16)
    assert {p.dtype for p in born.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("aux_head", [False, True])
@pytest.mark.parametrize("name", ["pc_darts_cifar", "pc_darts_imagenet", "ftso_nats_cifar"])
def test_weights_can_be_drawn_after_an_empty_start(name: str, aux_head: bool) -> None:
    model = small(name, device="meta", dtype=torch.float64, aux_head=aux_head)
    assert all(t.is_meta for t in [*model.parameters(), *model.buffers()])
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(math.nan if tensor.is_floating_point() else 99)
    model.init_weights()
    assert all(t.isfinite().all() for t in [*model.parameters(), *model.buffers()])
    assert model.eval()(images(name).double()).isfinite().all()


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["pc_darts_cifar", "pc_darts_imagenet", "ftso_nats_cifar"])
def test_input_channels_and_their_weights_adapt(name: str, channels: int, tmp_path: Path) -> None:
    trained = small(name)
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    overlay = {"file": str(tmp_path / "weights.pth")}
    model = small(name, in_chans=channels, pretrained=True, pretrained_cfg_overlay=overlay)
    assert model.in_chans == channels and model(images(name, channels=channels)).isfinite().all()
    expected, got = trained.stem[0][0].weight, model.stem[0][0].weight
    torch.testing.assert_close(got.sum(1), expected.sum(1) if channels == 1 else (expected[:, [0, 1, 2, 0]] * 3 / 4).sum(1))
    assert torch.equal(model.fc.weight, trained.fc.weight)


def test_another_number_of_classes_keeps_the_rest_of_the_weights(tmp_path: Path) -> None:
    trained = small("pc_darts_cifar")
    torch.save(trained.state_dict(), tmp_path / "weights.pth")
    overlay = {"file": str(tmp_path / "weights.pth")}
    model = small("pc_darts_cifar", num_classes=3, pretrained=True, pretrained_cfg_overlay=overlay)
    assert model.fc.out_features == 3
    assert all(torch.equal(a, b) for a, b in zip(model.cells.parameters(), trained.cells.parameters(), strict=True))
    features = small("pc_darts_cifar", features_only=True, pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(features.model.stem[0][0].weight, trained.stem[0][0].weight)


# --- saving ------------------------------------------------------------------------------------------------------------------------


def assert_comes_back(model: nn.Module, x: Tensor, folder: Path) -> dict:
    """Save as for the hub, load again, compare bit by bit; the saved configuration."""
    save_for_hf(model.eval(), folder, safe_serialization=True)
    again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(again(x), model(x))
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("name", KINDS)
def test_saved_models_come_back_bit_by_bit(name: str, tmp_path: Path) -> None:
    model = small(name, num_classes=7, in_chans=4).train()
    model(images(name, 4, channels=4))  # statistics of its own
    config = assert_comes_back(model, images(name, channels=4), tmp_path / "saved")
    assert config["architecture"] == name and config["num_classes"] == 7 and config["model_args"]["channels"] == 4


@pytest.mark.parametrize("form", ["name", "path", "dict", "value"])
def test_a_generic_model_takes_its_genotype_along(form: str, tmp_path: Path) -> None:
    value = resolve("fair_darts_a_cifar")
    value.save(tmp_path / "cell.json")
    given = {"name": "fair_darts_a_cifar", "path": tmp_path / "cell.json", "dict": value.to_dict(), "value": value}[form]
    model = timm.create_model("nas_cifar", genotype=given, cells=3, channels=4)
    (tmp_path / "cell.json").unlink()
    config = assert_comes_back(model, images("fair_darts_a_cifar"), tmp_path / "saved")
    assert config["model_args"]["genotype"] == value.to_dict()


def test_models_can_be_copied_and_pickled() -> None:
    model, x = small("snas_aggressive_cifar").eval(), images("snas_aggressive_cifar")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x)) and twin.genotype == model.genotype


# --- compilers -----------------------------------------------------------------------------------------------------------------------


@script_warns
@pytest.mark.parametrize("name", KINDS)
def test_models_and_their_features_can_be_scripted(name: str) -> None:
    x, model, features = images(name), small(name, aux_head=True).eval(), small(name, features_only=True).eval()
    pruned = small(name, features_only=True, out_indices=(0,)).eval()
    with torch.no_grad():
        assert torch.equal(torch.jit.script(model)(x), model(x))
        for wrapper in (features, pruned):
            assert all(torch.equal(a, b) for a, b in zip(torch.jit.script(wrapper)(x), wrapper(x), strict=True))


@fx_warns
@pytest.mark.parametrize("name", KINDS)
def test_feature_extractors_of_torchvision_trace_them(name: str) -> None:
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    x, model = images(name), small(name, num_classes=6)
    last = [nodes[-1] for nodes in get_graph_node_names(model)]
    traced = create_feature_extractor(model, train_return_nodes=[last[0], "cells.1"], eval_return_nodes=[last[1]])
    with torch.no_grad():
        torch.testing.assert_close(traced.eval()(x)[last[1]], model.eval()(x))
    out = traced.train()(x)
    assert out["cells.1"].ndim == 4
    out[last[0]].mean().backward()
    assert without_gradient(traced) == []


@fx_warns
def test_tracing_reaches_both_outputs_of_a_network_with_auxiliary_head() -> None:
    model = small("pc_darts_cifar", aux_head=True).train()
    graph = torch.fx.symbolic_trace(model)
    assert [out.shape for out in graph(images("pc_darts_cifar"))] == [(2, 10), (2, 10)]


@pytest.mark.parametrize("name", ["pc_darts_imagenet", "snas_aggressive_cifar", "ftso_nats_cifar"])
def test_export_has_a_dynamic_batch(name: str) -> None:
    model = small(name).eval()
    program = torch.export.export(model, (images(name),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with torch.no_grad():
        for batch in (1, 3):
            torch.testing.assert_close(program.module()(images(name, batch)), model(images(name, batch)))


def compiled(model: nn.Module) -> Any:
    return torch.compile(model, backend="eager", fullgraph=True)


@pytest.mark.parametrize("name", ["pc_darts_cifar", "ftso_nats_cifar"])
def test_they_compile_in_one_graph(name: str) -> None:
    torch._dynamo.reset()
    model = small(name).eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(model)(images(name)), model(images(name)))


def test_the_network_can_be_built_without_timms_registry() -> None:
    model = CellNetwork("pc_darts_cifar", num_classes=3, cells=3, channels=4)
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 3)
