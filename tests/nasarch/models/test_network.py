"""The networks are those of the papers: counts to the unit, cells as the genotype says, drop path, auxiliary tower, any image size."""

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import nasarch
from nasarch.models.network import CellNetwork
from nasarch.models.skeleton import cell_specs

# From the published code, for the CIFAR network with 10 classes and then the ImageNet network: parameters, parameters with the auxiliary
# tower, and millions of multi-adds (convolutions and linear layers).
GOLDEN = {
    "darts_v1_cifar": (3_169_414, 3_645_840, 501.0, 4_510_432, 5_771_208, 505.9),
    "darts_v2_cifar": (3_349_342, 3_825_768, 528.4, 4_718_752, 5_979_528, 529.9),
    "p_darts_cifar": (3_433_798, 3_910_224, 532.2, 4_944_352, 6_205_128, 542.8),
    "pc_darts_cifar": (3_634_678, 4_111_104, 556.7, 5_270_560, 6_531_336, 571.1),
    "pc_darts_imagenet": (3_721_510, 4_197_936, 570.5, 5_342_464, 6_603_240, 581.6),
    "dots_cifar": (3_526_030, 4_002_456, 546.7, 5_023_456, 6_284_232, 554.0),
    "dots_cifar100": (4_009_438, 4_485_864, 614.3, 5_650_912, 6_911_688, 618.9),
    "dots_imagenet": (3_750_454, 4_226_880, 581.1, 5_348_032, 6_608_808, 587.3),
    "nasnet_a_cifar": (3_830_950, 4_288_944, 603.5, 5_564_320, 6_800_520, 604.0),
    "amoebanet_a_cifar": (3_145_078, 3_603_072, 488.9, 4_627_360, 5_863_560, 526.7),
}
DENSE_NATS = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def multi_adds(model: nn.Module, size: int) -> float:
    """Millions, of convolutions and linear layers; the counter calls a multiply-add two operations."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops() / 2e6


@pytest.mark.parametrize("name", GOLDEN)
def test_parameter_counts_and_multi_adds_are_those_of_the_published_code(name: str) -> None:
    cifar, cifar_aux, cifar_macs, imagenet, imagenet_aux, imagenet_macs = GOLDEN[name]
    small = timm.create_model("nas_cifar", genotype=name, device="meta")
    large = timm.create_model("nas_224", genotype=name, device="meta")
    assert (count(small), count(large)) == (cifar, imagenet)
    assert multi_adds(small, 32) == pytest.approx(cifar_macs, abs=0.051)
    assert multi_adds(large, 224) == pytest.approx(imagenet_macs, abs=0.051)
    assert count(timm.create_model("nas_cifar", genotype=name, device="meta", aux_head=True)) == cifar_aux
    assert count(timm.create_model("nas_224", genotype=name, device="meta", aux_head=True)) == imagenet_aux


@pytest.mark.parametrize("name", ["pc_darts_imagenet", "darts_v2_cifar_224"])
def test_named_models_are_the_golden_networks(name: str) -> None:
    assert count(timm.create_model(name)) == GOLDEN[name.removesuffix("_224")][3]


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_fvcore_counts_the_same_multi_adds() -> None:
    from fvcore.nn import FlopCountAnalysis

    counts = FlopCountAnalysis(timm.create_model("darts_v2_cifar").eval(), torch.zeros(1, 3, 32, 32)).unsupported_ops_warnings(False)
    by_operator = counts.uncalled_modules_warnings(False).by_operator()
    assert (by_operator["conv"] + by_operator["linear"]) / 1e6 == pytest.approx(GOLDEN["darts_v2_cifar"][2], abs=0.051)


def test_nats_networks_have_the_sizes_of_the_benchmark() -> None:
    dense = timm.create_model("nas_bench_201", genotype=DENSE_NATS, device="meta")
    assert count(dense) == 1_531_546  # the largest of its table
    assert multi_adds(dense, 32) == pytest.approx(220.12, abs=0.005)
    assert count(timm.create_model("darts_nats_cifar", device="meta")) == 73_306  # the smallest: skip connections alone


def test_reduction_cells_stand_at_a_third_and_two_thirds() -> None:
    assert [i for i, place in enumerate(cell_specs("darts", 20, 36)) if place.stride == 2] == [6, 13]
    assert [i for i, place in enumerate(cell_specs("darts", 14, 48)) if place.kind == "reduction"] == [4, 9]
    assert [place.channels for place in cell_specs("darts", 5, 16)] == [16, 32, 32, 64, 64]
    assert [place.channels for place in cell_specs("nats", 2, 16)] == [16, 16, 32, 32, 32, 64, 64, 64]


def test_the_least_networks_can_be_built() -> None:
    assert [place.kind for place in cell_specs("darts", 3, 2)] == ["normal", "reduction", "reduction"]
    assert [place.channels for place in cell_specs("nats", 1, 2)] == [2, 4, 4, 8, 8] and [
        place.stride for place in cell_specs("nats", 1, 2)
    ] == [
        1,
        2,
        1,
        2,
        1,
    ]
    for space, cells in (("darts", 2), ("nats", 0)):
        with pytest.raises(ValueError, match=f"cells={cells}"):
            cell_specs(space, cells, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cells": 2}, "has 3 to 1,000 cells"),
        ({"cells": 1001}, "has 3 to 1,000 cells"),
        ({"channels": 1}, "2 to 65,536 channels"),
        ({"channels": 65537}, "2 to 65,536 channels"),
        ({"channels": 2.5}, "channels=2.5"),
        ({"stem": "vit"}, "legal are 'cifar', 'imagenet'"),
        ({"drop_path_rate": 1.0}, "0 <= rate < 1"),
        ({"drop_path_rate": -0.1}, "drop path rate -0.1"),
        ({"genotype": "darts_v3_cifar"}, "did you mean darts_v"),
    ],
)
def test_bad_arguments_are_refused_with_the_legal_ones(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CellNetwork(**{"genotype": "darts_v2_cifar", **arguments})


# --- auxiliary tower ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "sizes"), [("pc_darts_cifar", (32, 24, 8, 45)), ("pc_darts_imagenet", (64, 224, 225))])
def test_the_auxiliary_tower_speaks_in_training_only_at_any_size(name: str, sizes: tuple[int, ...]) -> None:
    model = timm.create_model(name, cells=3, channels=4, num_classes=7, aux_head=True)
    for size in sizes:
        x = torch.randn(2, 3, size, size)
        logits, auxiliary = model.train()(x)
        assert logits.shape == auxiliary.shape == (2, 7)
        assert model.eval()(x).shape == (2, 7)
    model.train()
    sum(out.mean() for out in model(torch.randn(4, 3, sizes[0], sizes[0]))).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_auxiliary_tower_reads_the_second_reduction_cell_and_leaves_the_logits_alone() -> None:
    torch.manual_seed(0)
    model = timm.create_model("darts_v2_cifar", cells=5, channels=4, aux_head=True).train()
    seen: dict[str, Tensor] = {}
    model.cells[3].register_forward_hook(lambda _m, _i, out: seen.update(cell=out))
    model.aux_head.register_forward_hook(lambda _m, inputs, _o: seen.update(aux=inputs[0]))
    x = torch.randn(4, 3, 32, 32)
    logits, _ = model(x)
    assert seen["aux"] is seen["cell"]
    torch.testing.assert_close(logits, model.forward_head(model.forward_features(x)))


def test_at_the_papers_size_the_tower_ends_in_one_pixel_and_averages_nothing() -> None:
    for name, size in (("darts_v2_cifar", 32), ("pc_darts_imagenet", 224)):
        model = timm.create_model(name, channels=4, cells=5, aux_head=True).train()
        sizes: list[torch.Size] = []
        model.aux_head.expand.register_forward_hook(lambda _m, _i, out, sizes=sizes: sizes.append(out.shape[2:]))
        model(torch.randn(2, 3, size, size))
        assert sizes == [(1, 1)]


# --- stems -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pc_darts_cifar", "ftso_nats_cifar"])
def test_the_stem_can_be_chosen(name: str) -> None:
    model = timm.create_model(name, cells=3, channels=4, stem="imagenet", features_only=True)
    assert model.feature_info.reduction() == [2, 4, 8, 16, 32]
    assert [m.shape[-1] for m in model(torch.randn(2, 3, 64, 64))] == [32, 16, 8, 4, 2]


def test_the_shallow_evaluation_network_of_edarts_can_be_asked_for() -> None:
    assert len(nasarch.create_model("pc_darts_cifar", cells=5, channels=16).cells) == 5
