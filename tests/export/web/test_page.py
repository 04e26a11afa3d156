"""`nasarch export web`: the files of the page, and the page in a real browser on real photographs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import timm.data
import torch
from PIL import Image

import nasarch
from nasarch.cli.main import main
from nasarch.export.onnx.export import VariantReport
from nasarch.export.source.find import LoadedModel
from nasarch.export.web import page as module
from nasarch.export.web.page import RUNTIME_FILES, export_page
from tests.helpers.datasets import SHARED
from tests.helpers.exported import trained

PHOTOGRAPHS = SHARED / "coco128" / "images.tar"
PACKAGE = Path(os.environ.get("NASARCH_ONNXRUNTIME_WEB", "node_modules/onnxruntime-web"))
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FILES = ["cell.svg", "index.html", "model.onnx", *(f"onnxruntime-web/{name}" for name in sorted(RUNTIME_FILES)), "page.css", "page.js"]


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with the names of onnxruntime-web's files."""
    (tmp_path / "ort" / "dist").mkdir(parents=True)
    for name in RUNTIME_FILES:
        (tmp_path / "ort" / "dist" / name).write_text(f"this is {name}")
    return tmp_path / "ort"


def loaded(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """Let exports find a small model; the ONNX file is not made."""
    model = trained("nas_cifar", genotype="pc_darts_cifar", num_classes=3, **changes)
    subject = LoadedModel(model, ("rose", "</script><b>", "zinnia"), False)
    monkeypatch.setattr(module, "find_model", lambda *_: subject)
    monkeypatch.setattr(module, "export_variants", lambda _, out, **__: out.write_bytes(b"x") and SimpleNamespace(reports=(report,)))
    report = VariantReport(Path("x"), "", 1, "nothing was compared", None, 1.0, 1.0)
    return subject


def test_a_page_has_the_model_the_cells_and_the_runtime(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch)
    report = export_page("pc_darts_cifar", tmp_path / "page", runtime=runtime, size=12)
    files = sorted(path.relative_to(report.path).as_posix() for path in report.path.rglob("*") if path.is_file())
    assert files == FILES and (report.path / "onnxruntime-web" / "ort.wasm.min.js").read_text() == "this is ort.wasm.min.js"
    text = (report.path / "index.html").read_text(encoding="utf-8")
    (stated,) = re.findall(r'<script id="page" type="application/json">(.*)</script>\n', text)
    assert json.loads(stated) == {"name": "pc_darts_cifar", "size": [3, 12, 12], "classes": ["rose", "</script><b>", "zinnia"]}
    assert text.count("</script>") == 3 and "at 12 x 12 pixels" in text and "found by PC-DARTS" in text and "random" not in text
    assert report.named and "python -m http.server --directory" in str(report) and "no names" not in str(report)


def test_a_page_of_random_weights_says_so_and_classes_without_names_have_numbers(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = loaded(monkeypatch)
    monkeypatch.setattr(module, "find_model", lambda *_: subject._replace(class_names=None, random=True))
    report = export_page("pc_darts_cifar", tmp_path / "page", runtime=runtime)
    text = (report.path / "index.html").read_text(encoding="utf-8")
    assert "The weights are random" in text and '["class 0", "class 1", "class 2"]' in text and "--checkpoint" in str(report)


def test_a_title_is_escaped(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch)
    monkeypatch.setattr(module, "find_source", lambda *_: SimpleNamespace(name="<i>x</i>"))
    report = export_page("pc_darts_cifar", tmp_path / "page", runtime=runtime)
    assert "<i>" not in (report.path / "index.html").read_text(encoding="utf-8")


def test_classes_of_imagenet_have_words_and_not_wordnet_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(timm.data.ImageNetInfo().label_names())
    subject = loaded(monkeypatch)._replace(class_names=names)
    assert (module._class_names(subject) or [])[0].startswith("tench")


def test_what_a_page_can_not_be_made_of_is_refused_and_leaves_nothing(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert main(["export", "web", "pc_darts_cifar", "-o", str(tmp_path / "page"), "--runtime", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "npm install onnxruntime-web" in said and said.count("\n") == 1
    loaded(monkeypatch, in_chans=4)
    with pytest.raises(ValueError, match="images of 4 channels"):
        export_page("pc_darts_cifar", tmp_path / "page", runtime=runtime)
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ([], {}),
        (["--runtime", "r"], {"runtime": Path("r")}),
        (["--checkpoint", "w"], {"checkpoint": Path("w")}),
        (["--data", "digits"], {"data": "digits"}),
        (["--size", "48"], {"size": 48}),
    ],
)
def test_a_flag_of_export_web_changes_its_own_argument_alone(words: list[str], changed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    monkeypatch.setattr(module, "export_page", lambda *told, **more: seen.append((told, more)) or "what was written")
    assert main(["export", "web", "a model", "-o", "there", *words]) == 0
    usual = {"runtime": Path("node_modules/onnxruntime-web"), "checkpoint": None, "data": None, "size": None}
    assert seen == [(("a model", Path("there")), {**usual, **changed})]


DRIVER = """<!doctype html><iframe id="page" src="index.html" width="800" height="800"></iframe><script>
const wait = (ready) => new Promise((done) => { const id = setInterval(() => ready() && (clearInterval(id), done()), 20); });
async function run() {
  const frame = document.getElementById("page"), result = { classes: [], status: [] };
  await wait(() => frame.contentDocument?.getElementById("status")?.textContent === "Ready");
  const inside = frame.contentDocument, status = inside.getElementById("status"), input = inside.getElementById("file");
  const given = async (name, type, dropped) => {
    const transfer = new frame.contentWindow.DataTransfer();
    transfer.items.add(new frame.contentWindow.File([await (await fetch(name)).blob()], name, { type }));
    status.textContent = "";
    const event = { dataTransfer: transfer, bubbles: true, cancelable: true };
    if (dropped) inside.body.dispatchEvent(new frame.contentWindow.DragEvent("drop", event));
    else { input.files = transfer.files; input.dispatchEvent(new Event("change")); }
    await wait(() => status.textContent !== "" && status.textContent !== "Computing");
    result.status.push(status.textContent);
  };
  for (let index = 0; index < COUNT; index++) {
    await given(`${index}.jpg`, "image/jpeg", index % 2);
    const items = [...inside.querySelectorAll("#classes li")];
    result.classes.push(items.map((item) => [item.children[0].textContent, parseFloat(item.children[1].textContent)]));
    result.bars = items.map((item) => item.querySelector(".bar").style.width);
  }
  await given("page.css", "text/plain", true);
  result.elsewhere = await frame.contentWindow.fetch(ELSEWHERE, { mode: "no-cors" }).then(() => "was sent", () => "was refused");
  result.width = inside.documentElement.scrollWidth;
  return result;
}
run().catch((error) => ({ error: String(error) })).then((result) => fetch("result", { method: "POST", body: JSON.stringify(result) }));
</script>"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the page; keeps what is posted, and which files are asked for."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def do_POST(self) -> None:
        self.server.posted.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.server.done.set()  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.asked, server.posted, server.done = [], [], threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(not (PACKAGE / "dist").is_dir(), reason="NASARCH_ONNXRUNTIME_WEB names no folder of the npm package onnxruntime-web")
@pytest.mark.skipif(not PHOTOGRAPHS.is_file(), reason=f"there are no photographs at {PHOTOGRAPHS}")
def test_chromium_shows_the_classes_that_photographs_get_from_pytorch(tmp_path: Path) -> None:
    page = export_page("pc_darts_cifar_shallow", tmp_path / "page", runtime=PACKAGE).path
    model = nasarch.create_model("pc_darts_cifar_shallow", pretrained=True).eval()
    names = json.loads(next(p.value for p in onnx.load(page / "model.onnx").metadata_props if p.key == "class_names"))
    how: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    expected = []
    with tarfile.open(PHOTOGRAPHS) as tar:
        for index, member in enumerate([one for one in tar if one.isfile()][:12]):
            (page / f"{index}.jpg").write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
            with torch.no_grad():
                expected.append(model(how(Image.open(page / f"{index}.jpg").convert("RGB"))[None]).softmax(1)[0])
    with served(page) as server, served(tmp_path) as elsewhere:
        driver = DRIVER.replace("COUNT", str(len(expected))).replace("ELSEWHERE", f"'http://127.0.0.1:{elsewhere.server_port}/x'")
        (page / "driver.html").write_text(driver)
        flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0"]
        address = f"http://127.0.0.1:{server.server_port}/driver.html"
        process = subprocess.Popen([str(CHROMIUM), *flags, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert server.done.wait(120), server.asked
        finally:
            process.terminate()
            process.wait(20)
        found = json.loads(server.posted[0])
        assert "error" not in found, found
        assert found["elsewhere"] == "was refused" and not elsewhere.asked and found["width"] <= 800
    assert {f"/{name}" for name in FILES} == {*server.asked} - {"/driver.html", *(f"/{i}.jpg" for i in range(12)), "/favicon.ico"}
    assert found["status"].pop() == "page.css is not an image that this browser can read"
    assert all(re.fullmatch(r"\d+\.\d ms for \d+ x \d+ pixels in WebAssembly", one) for one in found["status"])
    for shown, probabilities in zip(found["classes"], expected, strict=True):
        assert len(shown) == 5 and all(abs(share - 100 * probabilities[names.index(name)]) < 8 for name, share in shown)
    same = [shown[0][0] == names[int(one.argmax())] for shown, one in zip(found["classes"], expected, strict=True)]
    assert sum(same) >= 11 and found["bars"][0].endswith("%")
