"""Class labels of the known data sets, in the order of the logits, and the data sets' names on the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from timm.data import ImageNetInfo

from nasarch.models.zoo import CIFAR10, CIFAR100, IMAGENET1K, IMAGENET16, Data

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_CLASSES = tuple(  # the fine labels, which are in alphabetical order
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar
    cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
    house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
    orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose
    sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()
)

IMAGENET16_CLASSES = tuple(map(str, range(1, 121)))  # the files have no names


class Labelled(NamedTuple):
    """A data set; `hub` is its name there, `statistics` scale images, if they are settled, `images` counts those to train and to test."""

    title: str
    hub: str | None
    statistics: Data | None
    class_names: tuple[str, ...]
    images: tuple[int, ...] = ()


class Labels(NamedTuple):
    """Class names, and descriptions of names that say little."""

    names: tuple[str, ...]
    descriptions: Mapping[str, str]


IMAGENET = "ImageNet"  # whose images are JPEG from the first
COPY, IGNORED = "jpeg", str.maketrans("", "", "-_ ()")

KNOWN: dict[str, Labelled] = {  # those of ImageNet are looked up in timm when they are needed
    "cifar10": Labelled("CIFAR-10", "uoft-cs/cifar10", CIFAR10, CIFAR10_CLASSES, (50_000, 10_000)),
    "cifar100": Labelled("CIFAR-100", "uoft-cs/cifar100", CIFAR100, CIFAR100_CLASSES, (50_000, 10_000)),
    "imagenet": Labelled(IMAGENET, "ILSVRC/imagenet-1k", IMAGENET1K, (), (1_281_167, 50_000)),
    "imagenet16-120": Labelled("ImageNet16-120", None, IMAGENET16, IMAGENET16_CLASSES, (151_700, 6_000)),
    "digits": Labelled("handwritten digits", None, None, tuple("0123456789"), (1_500, 297)),
}
PLAIN = {name.translate(IGNORED): name for name in KNOWN}


def known(name: Any) -> Labelled | None:
    """The data set of this name: "cifar10" and "CIFAR-10" are one; None if it is not in the table.

    "cifar10_jpeg" and "CIFAR-10 (JPEG)" are a copy of it with the same labels, but other images, which are not on the Hub.
    """
    plain = str(name).lower().translate(IGNORED)
    if plain.endswith(COPY) and (key := PLAIN.get(plain.removesuffix(COPY))) is not None:
        original = KNOWN[key]
        return original if original.title == IMAGENET else original._replace(title=f"{original.title} (JPEG)", hub=None)
    key = PLAIN.get(plain.removesuffix("1k"))
    return None if key is None else KNOWN[key]


def identified(name: Any, class_names: Sequence[str], images: Sequence[int | None] = ()) -> Labelled | None:
    """The data set of this name, if the classes and the numbers of training and test images, where they are given, are its own."""
    dataset = known(name)
    labels = labels_of(dataset, len(class_names))
    if dataset is None or labels is None or labels.names != tuple(class_names):
        return None
    stated = zip(images, dataset.images, strict=False)
    return dataset if all(number in (None, own) for number, own in stated) else None


def data_name(name: str, class_names: Sequence[str], images: Sequence[int | None] = ()) -> str:
    """The name of a data set: "own-imagenet" for images in a folder `imagenet` that are not ImageNet's."""
    return name if known(name) is None or identified(name, class_names, images) else f"own-{name}"


def labels_of(data: Labelled | None, num_classes: int) -> Labels | None:
    """The labels of `data` if there are `num_classes` of them."""
    if data is None:
        return None
    if data.title == IMAGENET and not data.class_names:
        info = ImageNetInfo()
        labels = Labels(tuple(info.label_names()), info.label_descriptions(as_dict=True))
    else:
        labels = Labels(data.class_names, {})
    return labels if len(labels.names) == num_classes else None
