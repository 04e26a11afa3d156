"""Every model keeps timm's contract: configuration, gradients, head, feature maps, pruning, as timm's own tests ask of its models."""

import copy
import math

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import Tensor, nn

import nasarch
from nasarch.models.cell import Node
from tests.helpers.small_models import KINDS, images, levels, small, without_gradient

EVERY = nasarch.list_models()


# --- every model -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_configuration_agrees_with_the_full_size_network(name: str) -> None:
    model = timm.create_model(name, device="meta", dtype=torch.float32).eval()
    cfg = model.default_cfg
    assert all(t.device.type == "meta" for t in [*model.parameters(), *model.buffers()])
    assert model.num_classes == cfg["num_classes"] and model.in_chans == cfg["input_size"][0]
    features = model.forward_features(torch.zeros(1, *cfg["input_size"], device="meta"))
    assert features.shape == (1, model.num_features, *cfg["pool_size"])
    assert model.forward_head(features, pre_logits=True).shape == (1, model.head_hidden_size)
    assert model.forward_head(features).shape == (1, cfg["num_classes"])
    state = model.state_dict()
    assert cfg["classifier"] + ".weight" in state
    first = model.get_submodule(cfg["first_conv"])
    assert type(first) is nn.Conv2d and first.in_channels == 3 and next(iter(model.parameters())) is first.weight


@pytest.mark.parametrize("name", EVERY)
def test_forward_is_finite_and_every_parameter_gets_a_gradient(name: str) -> None:
    model = small(name, num_classes=42).train()
    out = model(images(name))
    assert out.shape == (2, 42) and out.isfinite().all()
    out.mean().backward()
    assert without_gradient(model) == []


@pytest.mark.parametrize("name", EVERY)
def test_feature_maps_are_the_intermediates_and_what_hooks_see(name: str) -> None:
    x, whole, features = images(name), small(name).eval(), small(name, features_only=True).eval()
    assert features.feature_info.reduction() == levels(name)
    seen: list[Tensor] = []
    for info in whole.feature_info:
        whole.get_submodule(info["module"]).register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        final, maps = whole.forward_intermediates(x)
        torch.testing.assert_close(final, whole.forward_features(x), rtol=0, atol=0)
        for got, expected, hooked in zip(features(x), maps, seen, strict=False):
            assert torch.equal(got, expected) and torch.equal(got, hooked)
    assert [m.shape[1] for m in maps] == features.feature_info.channels()
    assert [m.shape[2] for m in maps] == [math.ceil(x.shape[2] / r) for r in levels(name)]


@pytest.mark.parametrize("name", EVERY)
def test_unknown_arguments_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="not_an_argument"):
        small(name, device="meta", not_an_argument=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_full_size_forward_and_backward(name: str) -> None:
    model = timm.create_model(name).train()
    x = torch.randn(2, *model.default_cfg["input_size"])
    model(x).mean().backward()
    assert without_gradient(model) == []
    with torch.no_grad():
        assert model.eval()(x).isfinite().all()
        features = timm.create_model(name, features_only=True).eval()(x[:1])
    assert [m.shape[2] for m in features] == [x.shape[2] // r for r in levels(name)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", EVERY)
def test_every_full_size_model_scripts_and_exports(name: str) -> None:
    model = timm.create_model(name).eval()
    x = torch.randn(2, *model.default_cfg["input_size"])
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(torch.jit.script(model)(x), expected, rtol=1e-4, atol=1e-5)
        program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.testing.assert_close(program.module()(x), expected, rtol=1e-4, atol=1e-5)


# --- head ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_head_without_classes_and_without_pooling(name: str) -> None:
    x = images(name)
    size = x.shape[2] // levels(name)[-1]
    pooled, bare = small(name, num_classes=0), small(name, num_classes=0, global_pool="")
    assert pooled(x).shape == (2, pooled.num_features)
    assert bare(x).shape == (2, bare.num_features, size, size)
    model = small(name)
    model.reset_classifier(0)
    assert model.num_classes == 0 and model(x).shape == (2, model.num_features)
    model.reset_classifier(0, "")
    assert model(x).shape == (2, model.num_features, size, size)


@pytest.mark.parametrize("name", [*KINDS, *(pytest.param(name, marks=pytest.mark.slow) for name in EVERY if name not in KINDS)])
def test_reset_classifier_keeps_pool(name: str) -> None:
    """timm 1.0.31, tests/test_models.py: the same features as before, and others than with average pooling, which tiny maps would hide."""
    model, x = small(name, global_pool="max").eval(), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
        model.reset_classifier(5)
        torch.testing.assert_close(model.forward_head(model.forward_features(x), pre_logits=True), expected)
        assert model(x).shape == (2, 5)
        model.reset_classifier(5, "avg")
        assert not torch.allclose(model.forward_head(model.forward_features(x), pre_logits=True), expected)


def test_reset_keeps_the_pooling_unless_told_otherwise() -> None:
    name = "pc_darts_cifar"
    model, x = small(name, global_pool="max").eval(), images(name)
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
        model.reset_classifier(5)
        assert torch.equal(model.forward_head(model.forward_features(x), pre_logits=True), expected) and model(x).shape == (2, 5)
        model.reset_classifier(5, "catavgmax")
        assert model.head_hidden_size == 2 * model.num_features == model.get_classifier().in_features
        assert model(x).shape == (2, 5)


@pytest.mark.parametrize("training", [True, False])
def test_a_new_classifier_takes_the_place_the_type_and_the_mode_of_the_model(training: bool) -> None:
    model = small("pc_darts_cifar", aux_head=True).train(training).to(device="meta", dtype=torch.float64)
    model.requires_grad_(False)
    model.reset_classifier(0)
    assert not any(p.requires_grad for p in model.parameters())
    model.reset_classifier(2)
    new = [*model.get_classifier().parameters(), *model.aux_head.fc.parameters()]
    assert len(new) == 4 and all(p.is_meta and p.dtype == torch.float64 and p.shape[0] == 2 for p in new)
    assert all(module.training == training for module in model.modules())


def test_dropout_stands_before_the_classifier() -> None:
    model, x = small("pc_darts_cifar", drop_rate=0.5).train(), images("pc_darts_cifar")
    features = model.forward_features(x)
    assert model.drop_rate == 0.5 and (model.forward_head(features, pre_logits=True) == 0).float().mean() > 0.2


# --- features --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_pruning_ends_at_the_last_map_and_leaves_nothing_unused(name: str) -> None:
    x, model = images(name), small(name).eval()
    with torch.no_grad():
        maps = model.forward_intermediates(x, intermediates_only=True)
        logits = model(x)
        headed = copy.deepcopy(model)
        headed.prune_intermediate_layers([len(maps) - 1], prune_head=False)
        torch.testing.assert_close(headed(x), logits, rtol=0, atol=0)
    for i, expected in enumerate(maps):
        pruned = copy.deepcopy(model)
        assert pruned.prune_intermediate_layers([i], prune_norm=True) == [i]
        with torch.no_grad():
            final, (got,) = pruned.forward_intermediates(x, indices=[i])
            assert torch.equal(got, expected) and torch.equal(final, expected) and torch.equal(pruned(x), expected)
        assert pruned.num_features == pruned.head_hidden_size == model.feature_info[i]["num_chs"] and pruned.num_classes == 0
        assert all(not m.training for m in pruned.modules())
        pruned.train()(x).sum().backward()
        assert without_gradient(pruned) == []
        pruned.reset_classifier(7, "avg")
        assert pruned(x).shape == (2, 7)


@pytest.mark.parametrize("name", ["pc_darts_imagenet", "ftso_nats_cifar"])
def test_stopping_early_runs_no_later_layer(name: str) -> None:
    model, x = small(name).eval(), images(name)
    ran: list[int] = []
    for i, cell in enumerate(model.cells):
        cell.register_forward_hook(lambda *_, i=i: ran.append(i))
    final, (found,) = model.forward_intermediates(x, indices=[-2], stop_early=True)
    last = int(model.feature_info[-2]["module"].removeprefix("cells."))
    assert ran == list(range(last + 1)) and torch.equal(final, found)


def test_indices_of_maps_are_checked() -> None:
    model, x = small("pc_darts_cifar"), images("pc_darts_cifar")
    assert len(model.forward_intermediates(x, indices=2, intermediates_only=True)) == 2
    assert [m.shape[2] for m in model.forward_intermediates(x, indices=[0, -1], intermediates_only=True)] == [32, 8]
    for indices in (0, 4, [3], [-4]):
        with pytest.raises(ValueError, match="there are 3"):
            model.forward_intermediates(x, indices=indices)


def test_the_final_norm_of_nats_networks_belongs_to_the_features() -> None:
    model, x = small("ftso_nats_cifar").eval(), images("ftso_nats_cifar")
    with torch.no_grad():
        final, maps = model.forward_intermediates(x)
        _, normed = model.forward_intermediates(x, norm=True)
        assert torch.equal(final, model.norm(maps[-1])) and torch.equal(normed[-1], final) and torch.equal(normed[0], maps[0])
        assert not torch.equal(final, maps[-1])
        assert torch.equal(model.forward_intermediates(x, indices=[0], norm=True, intermediates_only=True)[0], maps[0])
        assert torch.equal(model.forward_intermediates(x, indices=[-1], stop_early=True)[0], final)
        assert torch.equal(model.forward_intermediates(x, indices=[0], stop_early=True)[0], maps[0])
    with pytest.raises(AssertionError, match="NCHW"):
        model.forward_intermediates(x, output_fmt="NHWC")


def test_features_can_be_chosen_and_unneeded_layers_go() -> None:
    features = small("pc_darts_imagenet", features_only=True, out_indices=(0, 2))
    assert features.feature_info.reduction() == [2, 8] and len(features.model.cells) == 1
    assert [m.shape[2] for m in features(images("pc_darts_imagenet"))] == [32, 8]
    assert small("pc_darts_imagenet", features_only=True, out_indices=2).feature_info.reduction() == [16, 32]


@pytest.mark.parametrize("feature_cls", ["getter", "hook"])
@pytest.mark.parametrize("name", ["pc_darts_imagenet", "pc_darts_cifar"])
def test_timms_own_feature_wrappers_give_the_same_maps(name: str, feature_cls: str) -> None:
    x, ours, theirs = images(name), small(name, features_only=True).eval(), small(name, features_only=True, feature_cls=feature_cls).eval()
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(ours(x), theirs(x), strict=True))


def test_the_drop_path_of_features_is_that_of_their_network() -> None:
    features = small("pc_darts_cifar", features_only=True)
    nodes = [module.drop_path for module in features.modules() if isinstance(module, Node)]
    edges = [module for module in features.modules() if isinstance(module, DropPath) and module not in nodes]
    for on, dropped, others in (("edges", edges, nodes), ("nodes", nodes, edges)):
        features.set_drop_path(0.25, on)
        assert {module.drop_prob for module in dropped} == {0.25} and {module.drop_prob for module in others} == {0.0}
    assert not features.model.grad_checkpointing
    features.set_grad_checkpointing()
    assert features.model.grad_checkpointing


def test_the_auxiliary_head_is_pruned_with_the_head() -> None:
    model = small("pc_darts_cifar", aux_head=True).train()
    model.prune_intermediate_layers([0])
    assert model.aux_head is None and isinstance(model(images("pc_darts_cifar")), Tensor)
