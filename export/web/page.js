"use strict";
// An image as uint8 [1, height, width, C] goes into the ONNX file, which resizes, crops and scales it; softmax of its logits comes back.
const page = JSON.parse(document.getElementById("page").textContent);
const [file, drop, image, prompt, status, classes] = ["file", "drop", "image", "prompt", "status", "classes"].map((id) => document.getElementById(id));
const TOP = 5;
let turn = Promise.resolve(); // one image at a time

/** The pixels of a decoded image, as Pillow's convert("RGB") or convert("L") gives them; transparent images lie on white. */
function pixels(bitmap, channels) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const values = new Uint8Array(bitmap.width * bitmap.height * channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const [red, green, blue] = [rgba[from], rgba[from + 1], rgba[from + 2]];
    if (channels === 3) {
      values[to++] = red;
      values[to++] = green;
      values[to++] = blue;
    } else {
      values[to++] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
    }
  }
  return new ort.Tensor("uint8", values, [1, bitmap.height, bitmap.width, channels]);
}

function probabilities(logits) {
  const largest = logits.reduce((one, other) => Math.max(one, other));
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((one, other) => one + other);
  return powers.map((value) => value / sum);
}

function show(found) {
  const order = found.map((_, index) => index).sort((one, other) => found[other] - found[one]);
  classes.replaceChildren(
    ...order.slice(0, TOP).map((index) => {
      const item = document.createElement("li");
      for (const name of ["name", "share", "track"]) {
        item.appendChild(document.createElement(name === "track" ? "div" : "span")).className = name;
      }
      const [name, share, track] = item.children;
      name.textContent = page.classes[index];
      share.textContent = `${(100 * found[index]).toFixed(1)} %`;
      const bar = track.appendChild(document.createElement("div"));
      bar.className = "bar";
      bar.style.width = `${100 * found[index]}%`;
      return item;
    }),
  );
}

async function classify(session, chosen) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(chosen, { colorSpaceConversion: "none" });
  } catch {
    status.textContent = `${chosen.name} is not an image that this browser can read`;
    return;
  }
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(chosen);
  image.alt = chosen.name;
  image.hidden = false;
  prompt.textContent = "Choose or drop another image";
  status.textContent = "Computing";
  await new Promise((done) => setTimeout(done)); // the page is painted before
  const input = pixels(bitmap, page.size[0]);
  const start = performance.now();
  const { logits } = await session.run({ pixels: input });
  const time = performance.now() - start;
  show(probabilities(logits.data));
  status.textContent = `${time.toFixed(1)} ms for ${bitmap.width} x ${bitmap.height} pixels in WebAssembly`;
  bitmap.close();
}

async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("onnxruntime-web/", document.baseURI).href;
  const session = await ort.InferenceSession.create("model.onnx");
  await session.run({ pixels: new ort.Tensor("uint8", new Uint8Array(page.size.reduce((a, b) => a * b)), [1, page.size[1], page.size[2], page.size[0]]) });
  const take = (files) => {
    const chosen = [...(files ?? [])].find((one) => one.type.startsWith("image/")) ?? files?.[0];
    if (chosen) {
      turn = turn.then(() => classify(session, chosen)).catch((error) => (status.textContent = `The model failed: ${error.message}`));
    }
  };
  file.addEventListener("change", () => {
    take(file.files);
    file.value = ""; // so that the same image can be chosen again
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files));
  document.addEventListener("drop", (event) => take(event.dataTransfer?.files));
  file.disabled = false;
  status.textContent = "Ready";
}

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
start().catch((error) => (status.textContent = `The model can't be loaded: ${error.message}`));
