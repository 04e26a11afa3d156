"use strict";
// Values of charts under the pointer and by arrow keys, cells by epoch under a slider, and pages that a server renews.

const SVG = "http://www.w3.org/2000/svg";
const INTERVAL = 500; // milliseconds that the animation shows an epoch
const POLL = 2000; // milliseconds between two questions to the server

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// --- charts ---

const box = make("div", { id: "values", hidden: true });
let shown = null; // the panel whose values are shown

function axes(panel) {
  const [first, x, step, count] = panel.dataset.x.split(" ").map(Number);
  const [low, high, start, end, kind] = panel.dataset.y.split(" ");
  const map = kind === "log" ? Math.log : (value) => value;
  const y = (value) => +start + ((map(value) - map(+low)) / (map(+high) - map(+low))) * (end - start);
  return { first, x, step, count, y };
}

// The lines and rows of a panel that have a value at the position `index`: name, text, y in the panel, element.
function valuesAt(panel, index) {
  const { first, y } = axes(panel);
  const found = [];
  for (const element of panel.querySelectorAll("[data-name]")) {
    let text, height;
    if (element.dataset.bars !== undefined) {
      const bar = element.dataset.bars.split(";").map((one) => one.split(" ")).find(([a, b]) => +a <= first + index && first + index <= +b);
      [text, height] = [bar && bar.slice(2).join(" "), +element.dataset.row];
    } else {
      text = element.dataset.values.split(" ")[index];
      height = y(+text);
    }
    if (text !== undefined && text !== "-") found.push({ name: element.dataset.name, text, height, element });
  }
  return found;
}

function show(panel, index, pointer = null) {
  hide();
  shown = panel;
  const { first, x, step } = axes(panel);
  const found = valuesAt(panel, index), place = x + step * index, title = `${panel.dataset.unit} ${panel.dataset.labels?.split(" ")[index] ?? first + index}`;
  const [, , , height] = panel.getAttribute("viewBox").split(" ").map(Number);
  panel.append(draw("path", { class: "cursor mark", d: `M${place} 20V${height - 22}` }));
  const nearest = pointer && found.reduce((a, b) => (Math.abs(a.height - pointer.y) <= Math.abs(b.height - pointer.y) ? a : b), found[0]);
  const rows = found.map((one) => {
    const colour = one.element.getAttribute("class") ?? "";
    if (!one.element.dataset.bars && Number.isFinite(one.height))
      panel.append(draw("circle", { class: `dot mark ${colour}`, cx: place, cy: one.height, r: 3.5 }));
    const key = draw("svg", { class: `key ${colour}`, viewBox: "0 0 28 12" }), line = one.element.querySelector(".line, .bar");
    if (line) key.append(draw("path", { class: `line ${line.classList.contains("dashed") ? "dashed" : line.classList.contains("dotted") ? "dotted" : ""}`, "stroke-width": 2, d: "M1 6H27" }));
    const row = make("div", {}, ...(one.name && !one.element.dataset.bars ? [key] : []), make("span", { textContent: one.name }), make("b", { textContent: one.text }));
    row.classList.toggle("nearest", one === nearest && found.length > 1);
    return row;
  });
  box.replaceChildren(make("div", {}, make("b", { textContent: title })), ...rows);
  if (!rows.length) box.append("no values");
  panel.dataset.index = index;
  panel.setAttribute("aria-valuenow", first + index);
  panel.setAttribute("aria-valuetext", [title, ...found.map((one) => `${one.name} ${one.text}`.trim())].join("; "));
  box.hidden = false;
  const area = panel.getBoundingClientRect(), wide = document.documentElement.clientWidth;
  const left = area.left + (place / panel.viewBox.baseVal.width) * area.width;
  box.style.left = `${window.scrollX + Math.max(8, Math.min(left + 14, wide - box.offsetWidth - 8))}px`;
  const below = area.bottom + 6, fits = below + box.offsetHeight < window.innerHeight || area.top < box.offsetHeight + 12;
  box.style.top = `${window.scrollY + (fits ? below : area.top - box.offsetHeight - 6)}px`;
}

function hide() {
  shown?.querySelectorAll(".mark").forEach((mark) => mark.remove());
  shown = null;
  box.hidden = true;
}

function follow(event) {
  const panel = event.target.closest?.(".panel[data-x]");
  if (!panel) return event.type === "pointermove" && event.pointerType === "mouse" && shown !== document.activeElement ? hide() : undefined;
  const area = panel.getBoundingClientRect(), scale = panel.viewBox.baseVal.width / area.width, { x, step, count } = axes(panel);
  const index = Math.round(((event.clientX - area.left) * scale - x) / step);
  show(panel, Math.max(0, Math.min(count - 1, index)), { y: (event.clientY - area.top) * scale });
}

function press(event) {
  const panel = event.target.closest?.(".panel[data-x]");
  if (event.key === "Escape") return hide();
  if (!panel || event.ctrlKey || event.altKey || event.metaKey) return;
  const { count } = axes(panel), index = +(panel.dataset.index ?? count - 1);
  const moves = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: count - 1, PageUp: index + 10, PageDown: index - 10 };
  const beside = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (event.key in moves) show(panel, Math.max(0, Math.min(count - 1, moves[event.key])));
  else if (beside) {
    const panels = [...panel.parentElement.children], next = panels[panels.indexOf(panel) + beside];
    if (!next) return;
    panel.tabIndex = -1;
    next.tabIndex = 0;
    next.dataset.index ??= index;
    next.focus();
  } else return;
  event.preventDefault();
}

// --- cells by epoch ---

function showState(player, index) {
  const captions = JSON.parse(player.dataset.captions), input = player.querySelector("input");
  input.value = index;
  input.setAttribute("aria-valuetext", captions[index]);
  player.querySelector("output").textContent = captions[index];
  for (const cell of player.parentElement.querySelectorAll("svg[data-frames]")) {
    const frames = JSON.parse(cell.dataset.frames), names = JSON.parse(cell.dataset.operations);
    const frame = frames[index], before = frames[Math.max(0, index - 1)];
    for (const part of cell.querySelectorAll("[data-slots]")) {
      const slots = part.dataset.slots.split(" ");
      part.classList.toggle("off", slots.every((slot) => frame[slot] < 0));
      const edge = part.querySelector(".edge"), [slot] = slots;
      if (!edge || frame[slot] < 0) continue;
      const name = names[frame[slot]], family = name.split("_")[0];
      const known = getComputedStyle(document.documentElement).getPropertyValue(`--${family}-fill`) ? family : "own";
      edge.setAttribute("class", `edge op-${known}${frame[slot] === before[slot] ? "" : " new"}`);
      edge.querySelector("text").textContent = name;
    }
  }
}

let playing = null; // the player whose epochs run, and its timer

function stop() {
  if (!playing) return;
  clearInterval(playing.timer);
  playing.player.querySelector("button").textContent = "Play";
  playing = null;
}

function play(player) {
  const again = playing?.player === player, input = player.querySelector("input");
  stop();
  if (again) return;
  if (+input.value === +input.max) showState(player, 0);
  player.querySelector("button").textContent = "Pause";
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches; // then slower, and without transitions
  playing = { player, timer: setInterval(() => {
    if (+input.value === +input.max) return stop();
    showState(player, +input.value + 1);
  }, still ? 3 * INTERVAL : INTERVAL) };
}

// --- page ---

function hints() {
  for (const wide of document.querySelectorAll(".wide")) {
    const over = wide.scrollWidth > wide.clientWidth + 1, hint = wide.nextElementSibling?.matches(".hint") ? wide.nextElementSibling : null;
    if (over && !hint) wide.after(make("p", { className: "hint", textContent: "\u2194 scroll sideways" }));
    if (!over) hint?.remove();
    wide.toggleAttribute("tabindex", over);
    if (over) wide.tabIndex = 0;
  }
}

function prepare() {
  for (const panel of document.querySelectorAll(".panel[data-x]")) {
    const { first, count } = axes(panel);
    const values = { role: "slider", "aria-valuemin": first, "aria-valuemax": first + count - 1, "aria-valuenow": first + count - 1 };
    for (const [name, value] of Object.entries(values)) panel.setAttribute(name, value);
    panel.setAttribute("aria-valuetext", panel.querySelector("desc").textContent);
    panel.setAttribute("aria-label", panel.querySelector("title").textContent);
    panel.querySelector("title").remove(); // browsers would show it over the values
  }
  for (const player of document.querySelectorAll(".player")) player.hidden = false;
  hints();
}

const key = (element) => element.closest("figure")?.id ?? "";

// What the reader has set, to be set again in the renewed page: sliders that were not at their end, open parts, scrolled boxes, the focus.
function renew(main) {
  const old = document.querySelector("main"), all = (root, what) => [...root.querySelectorAll(what)];
  const sliders = new Map(all(old, ".player input").filter((one) => +one.value < +one.max).map((one) => [key(one), one.value]));
  const parts = new Map(all(old, "details").map((one) => [one.querySelector("summary").textContent, one.open]));
  const boxes = all(old, ".wide").map((one) => one.scrollLeft), active = document.activeElement;
  const focused = active && old.contains(active) && [key(active), active.matches(".panel") ? ".panel" : active.tagName.toLowerCase()];
  const rank = focused && focused[0] ? all(active.closest("figure"), focused[1]).indexOf(active) : -1, index = active?.dataset?.index;
  const run = playing && key(playing.player), place = window.scrollY;
  stop();
  hide();
  old.replaceWith(main);
  prepare();
  for (const part of all(main, "details")) part.open = parts.get(part.querySelector("summary").textContent) ?? false;
  for (const input of all(main, ".player input")) if (sliders.has(key(input))) showState(input.closest(".player"), sliders.get(key(input)));
  all(main, ".wide").forEach((one, at) => (one.scrollLeft = boxes[at] ?? 0));
  if (run) play(document.getElementById(run).querySelector(".player"));
  if (rank >= 0) {
    const next = all(document.getElementById(focused[0]) ?? main, focused[1])[rank];
    if (index !== undefined && next) next.dataset.index = index;
    next?.focus({ preventScroll: true });
  }
  window.scrollTo(window.scrollX, place);
}

async function watch() {
  try {
    const response = await fetch("/state", { cache: "no-store" });
    const { state, title } = await response.json();
    if (state !== document.querySelector("main").dataset.state) {
      const page = new DOMParser().parseFromString(await (await fetch("/", { cache: "no-store" })).text(), "text/html");
      document.title = title;
      renew(page.querySelector("main"));
    }
    document.getElementById("offline")?.remove();
  } catch {
    if (!document.getElementById("offline"))
      document.body.prepend(make("p", { id: "offline", className: "soft", textContent: "The server has ended: this page is no longer renewed." }));
  }
  setTimeout(watch, POLL);
}

document.body.append(box);
document.addEventListener("pointermove", follow);
document.addEventListener("pointerdown", follow);
document.addEventListener("focusin", (event) => {
  const panel = event.target.closest?.(".panel[data-x]");
  if (panel?.matches(":focus-visible")) show(panel, +(panel.dataset.index ?? axes(panel).count - 1));
});
document.addEventListener("focusout", hide);
document.addEventListener("keydown", press);
document.addEventListener("click", (event) => event.target.matches(".player button") && play(event.target.closest(".player")));
document.addEventListener("input", (event) => {
  if (!event.target.matches(".player input")) return;
  stop();
  showState(event.target.closest(".player"), +event.target.value);
});
addEventListener("resize", hints);
document.addEventListener("toggle", hints, true);
prepare();
if (document.querySelector("main").dataset.state) watch();
