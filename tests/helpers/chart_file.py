"""A chart of a report as a test reads it: its SVG file, panel by panel, with the numbers of its paths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from nasarch.search.report.charts import Chart
from nasarch.search.report.html import chart_file

Element = ElementTree.Element
Point = tuple[float, float]


def numbers(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?\d+\.?\d*", text)]


def strokes(d: str) -> list[list[Point]]:
    """The points of each line of a path of absolute M and L."""
    return [[(x, y) for x, y in zip(*[iter(numbers(part))] * 2, strict=True)] for part in d.split("M")[1:]]


class PanelFile:
    """A panel: `lines` are the values by epoch that the page shows for each name, `bars` the stretches of each row."""

    def __init__(self, svg: Element) -> None:
        self.svg = svg
        self.title, self.description = svg.findtext("title"), svg.findtext("desc")
        self.first, self.x, self.step, self.count = numbers(svg.attrib["data-x"])
        self.low, self.high, self.start, self.end = numbers(svg.attrib["data-y"])[:4]
        self.scale, self.unit = svg.attrib["data-y"].split()[-1], svg.attrib["data-unit"]
        self.box = numbers(svg.attrib["viewBox"])
        self.groups = {group.attrib["data-name"]: group for group in svg.iter("g") if "data-name" in group.attrib}
        named = {name: group.attrib["data-values"].split(" ") for name, group in self.groups.items() if "data-values" in group.attrib}
        self.lines = {name: [None if value == "-" else float(value) for value in values] for name, values in named.items()}
        bars = {name: group.attrib["data-bars"] for name, group in self.groups.items() if group.attrib.get("data-bars")}
        parts = {name: [one.split(" ") for one in text.split(";")] for name, text in bars.items()}
        self.bars = {name: [(int(first), int(last), value) for first, last, value in rows] for name, rows in parts.items()}

    def part(self, name: str, kind: str) -> list[Element]:
        """The elements of a line or row of the class `kind`."""
        return [element for element in self.groups[name].iter() if kind in element.attrib.get("class", "").split()]

    def strokes(self, name: str) -> list[list[Point]]:
        """The points of a line, broken where it is."""
        return strokes(self.part(name, "line")[0].attrib["d"])

    def style(self, name: str) -> tuple[str, str]:
        """Colour and dashes."""
        classes = self.part(name, "line")[0].attrib["class"].split()
        return self.groups[name].attrib["class"], next(one for one in classes if one != "line")

    def width(self, name: str) -> float:
        return float(self.part(name, "line")[0].attrib["stroke-width"])

    def elements(self, kind: str) -> list[Element]:
        return [element for element in self.svg.iter() if kind in element.attrib.get("class", "").split()]

    def texts(self, kind: str) -> list[str]:
        return ["".join(element.itertext()) for element in self.elements(kind) if element.tag == "text"]

    def epoch(self, x: float) -> float:
        """The epoch at a pixel."""
        return self.first + (x - self.x) / self.step

    @property
    def warmups(self) -> list[tuple[float, float]]:
        """Beginning and length of the grey backgrounds in epochs, to a tenth."""
        parts = [(float(element.attrib["x"]), float(element.attrib["width"])) for element in self.elements("warmup")]
        return [(round(self.epoch(x), 1), round(width / self.step, 1)) for x, width in parts]

    @property
    def rules(self) -> list[float]:
        """Borders of stages, in epochs."""
        return [round(self.epoch(numbers(element.attrib["d"])[0]), 1) for element in self.elements("stage")]


class ChartFile:
    """A chart's panels, their positions in the file, its heading, and the names of its legend with their styles."""

    def __init__(self, text: str) -> None:
        root = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", text))
        svgs = [svg for svg in root.iter("svg") if "data-x" in svg.attrib]
        self.text, self.size = text, (float(root.attrib["width"]), float(root.attrib["height"]))
        self.panels = [PanelFile(svg) for svg in svgs]
        self.places = [tuple(float(svg.attrib[key]) for key in ("x", "y", "width", "height")) for svg in svgs]
        keys = [(group.find("text"), group.find("svg")) for group in root.iter("g") if group.find("svg[@aria-hidden]") is not None]
        self.legend = {"".join(text.itertext()): style(key) for text, key in keys if text is not None and key is not None}
        headings = [text for text in root.findall("g/text") if text.attrib.get("class") == "title"]
        self.heading = "".join(headings[0].itertext()) if headings else ""


def style(key: Element) -> tuple[str, str]:
    """Colour and dashes of a sample in a legend."""
    return key.attrib["class"].split()[1], key[0].attrib["class"].split()[1]


def drawn(chart: Chart) -> ChartFile:
    return ChartFile(chart_file(chart))


def charts_in(folder: Path) -> dict[str, ChartFile]:
    """The charts of a report by the names of their files."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"))}
    return {name: ChartFile(text) for name, text in texts.items() if "data-x=" in text}


def near(found: Sequence[Sequence[Point]], expected: Sequence[Sequence[Point]]) -> bool:
    """Whether the strokes have the same points, to the tenth of a pixel that they are rounded to."""
    return [len(stroke) for stroke in found] == [len(stroke) for stroke in expected] and all(
        abs(a - b) < 0.051
        for one, other in zip(found, expected, strict=True)
        for p, q in zip(one, other, strict=True)
        for a, b in zip(p, q, strict=True)
    )
