// The pages' script: filters, sorting and charts of index.html, and the comparison of compare.html. Data: data.js and pictures.js.
"use strict";

const byId = (id) => document.getElementById(id);
const filled = (made, attributes, children) => {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const element = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
const shape = (name, attributes = {}, ...children) => filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const millions = (count, digits) => (count / 1e6).toFixed(digits);

// index.html: rows of the table, which filters hide and headings sort; the charts show the visible rows of one group

function startIndex() {
  const body = byId("models").tBodies[0];
  const rows = [...body.rows];
  const headings = [...document.querySelectorAll("#models th[data-key]")];
  const isNumber = (heading) => heading.classList.contains("number");
  const search = byId("text"), method = byId("method"), group = byId("group"), sort = byId("sort"), chartGroup = byId("chart-group");

  const sortBy = (heading, direction) => {
    const key = heading.dataset.key, sign = direction === "ascending" ? 1 : -1;
    const compared = (a, b) => {
      const one = a.dataset[key], other = b.dataset[key];
      if (one === "" || other === "") return (one === "") - (other === ""); // unknown values come last in both directions
      return sign * (isNumber(heading) ? Number(one) - Number(other) : one.localeCompare(other, "en"));
    };
    body.append(...[...body.rows].sort(compared));
    for (const each of headings) each.setAttribute("aria-sort", each === heading ? direction : "none");
    sort.value = `${key} ${direction}`;
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = `${row.dataset.name} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) || (method.value && row.dataset.method !== method.value)
        || (group.value && row.dataset.group !== group.value);
    }
    byId("count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} networks`;
    drawCharts();
  };

  const drawCharts = () => {
    const shown = GALLERY.models.filter((model, i) => !rows[i].hidden && model.group === chartGroup.value && model.error !== null);
    drawChart(byId("chart-parameters"), shown, "parameters", "parameters, M");
    drawChart(byId("chart-multi-adds"), shown, "multi_adds", "multi-adds, M");
  };

  for (const heading of headings) {
    const button = element("button", { type: "button" }, heading.textContent);
    button.addEventListener("click", () => sortBy(heading, heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending"));
    for (const direction of ["ascending", "descending"]) {
      sort.append(new Option(`${heading.textContent}, ${direction}`, `${heading.dataset.key} ${direction}`));
    }
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
  }
  sort.addEventListener("change", () => {
    const [key, direction] = sort.value.split(" ");
    sortBy(headings.find((heading) => heading.dataset.key === key), direction);
  });
  const counts = new Map();
  for (const model of GALLERY.models) if (model.error !== null) counts.set(model.group, (counts.get(model.group) ?? 0) + 1);
  for (const [name, count] of [...counts].sort((a, b) => b[1] - a[1])) chartGroup.append(new Option(`${name} (${count})`, name));
  for (const input of [search, method]) input.addEventListener("input", filter);
  group.addEventListener("input", () => {
    if (counts.has(group.value)) chartGroup.value = group.value;
    filter();
  });
  chartGroup.addEventListener("input", drawCharts);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter)); // when the fields are empty
  addEventListener("resize", drawCharts);
  rows.forEach((row, i) => hasTip(row.querySelector(".picture a"), GALLERY.models[i]));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") byId("tip").hidden = true; });
  byId("filters").hidden = byId("charts").hidden = false;
  sortBy(headings[0], "ascending");
  filter();
}

// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  return { step, values: Array.from({ length: Math.max(last, first + 1) - first + 1 }, (_, i) => (first + i) * step) };
}

function drawChart(figure, models, key, label) {
  const width = Math.max(300, figure.clientWidth), height = Math.min(380, 0.75 * width + 60), left = 52, right = 16, top = 30, bottom = 46;
  const title = `Reported error against ${label}`;
  if (!models.length) {
    figure.replaceChildren(element("p", { class: "note" }, `${title}: no network is left that has a reported error.`));
    return;
  }
  const svg = shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${title}: ${models.length} networks` });
  figure.replaceChildren(svg);
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const across = ticks(...range(models.map((model) => model[key] / 1e6)), width / 90), up = ticks(...range(models.map((model) => model.error)), 6);
  const scale = (axis, from, to) => (value) => from + (to - from) * (value - axis.values[0]) / (axis.values.at(-1) - axis.values[0]);
  const x = scale(across, left, width - right), y = scale(up, height - bottom, top);
  const digits = (axis) => Math.max(0, -Math.floor(Math.log10(axis.step) + 1e-9));
  for (const value of across.values) {
    svg.append(shape("line", { class: "axis", x1: x(value), x2: x(value), y1: top, y2: height - bottom }));
    svg.append(shape("text", { x: x(value), y: height - bottom + 18, "text-anchor": "middle" }, value.toFixed(digits(across))));
  }
  for (const value of up.values) {
    svg.append(shape("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(shape("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits(up))));
  }
  svg.append(shape("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle" }, label));
  svg.append(shape("text", { x: 4, y: 16 }, "reported error, %"));
  for (const model of [...models].sort((a, b) => a[key] - b[key])) {
    const px = x(model[key] / 1e6), py = y(model.error);
    const mark = model.own ? shape("path", { d: `M${px} ${py - 8}l8 8-8 8-8-8z`, class: "point own" }) : shape("circle", { cx: px, cy: py, r: 6, class: "point" });
    const link = shape("a", { href: `cells/${model.cell}.html`, "aria-label": tipText(model) }, mark);
    hasTip(link, model);
    svg.append(link);
  }
}

function tipText(model) {
  const error = model.error === null ? "" : `${model.error.toFixed(2)} % error, `;
  const name = model.own ? `${model.model} of ${model.name}` : model.model;
  return `${name}: ${error}${millions(model.parameters, 2)} M parameters, ${millions(model.multi_adds, 1)} M multi-adds`;
}

function hasTip(link, model) {
  for (const event of ["mouseenter", "focus"]) link.addEventListener(event, () => showTip(link, model));
  for (const event of ["mouseleave", "blur"]) link.addEventListener(event, () => { byId("tip").hidden = true; });
}

function showTip(link, model) {
  const tip = byId("tip"), image = element("img", { src: `pictures/${model.cell}.svg`, alt: `cells of ${model.name}` });
  const place = () => {
    const point = link.getBoundingClientRect(), box = tip.getBoundingClientRect(), middle = (point.left + point.right) / 2;
    tip.style.left = `${Math.max(8, Math.min(middle - box.width / 2, document.documentElement.clientWidth - box.width - 8))}px`;
    tip.style.top = `${point.top - box.height - 8 > 0 ? point.top - box.height - 8 : point.bottom + 8}px`;
  };
  image.addEventListener("load", place);
  tip.replaceChildren(tipText(model), image);
  tip.hidden = false;
  place();
}

// compare.html: two cells, whose edges are marked as the difference says

const CLASSES = { "=": "equal", "~": "changed", "-": "only", "+": "only" };

// The difference of cells i and j from A's side: distance, whether it is exact, and by kind the marks of A, of B, and renumbered nodes.
function pairOf(i, j) {
  const found = GALLERY.pairs[`${Math.min(i, j)},${Math.max(i, j)}`];
  if (i === j || !found) return found ?? null;
  const swap = (marks) => marks.replace(/[-+]/g, (mark) => (mark === "-" ? "+" : "-"));
  const kinds = Object.entries(found[2]).map(([kind, [a, b, nodes]]) =>
    [kind, i < j ? [a, b, nodes] : [swap(b), swap(a), nodes.map(([one, other]) => [other, one]).sort((p, q) => p[0] - q[0])]]);
  return { distance: found[0], isExact: found[1], kinds: Object.fromEntries(kinds) };
}

function startComparison() {
  const slugs = GALLERY.cells.map((cell) => cell.slug), a = byId("a"), b = byId("b");
  const read = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    const first = slugs.includes(words.get("a")) ? words.get("a") : slugs[0];
    a.value = first;
    b.value = slugs.includes(words.get("b")) ? words.get("b") : slugs.find((slug) => slug !== first) ?? first;
    show();
  };
  const show = () => {
    const i = slugs.indexOf(a.value), j = slugs.indexOf(b.value), one = GALLERY.cells[i], other = GALLERY.cells[j], pair = pairOf(i, j);
    document.title = `${one.name} and ${other.name}`;
    byId("distance").textContent = i === j ? "The same cell twice." : pair ? summary(pair) : "Cells of two spaces have no distance.";
    byId("legend").hidden = !pair;
    const kinds = [...new Set([...Object.keys(one.edges), ...Object.keys(other.edges)])];
    byId("kinds").replaceChildren(...kinds.flatMap((kind) => kindParts(kind, one, other, pair)));
    byId("costs").replaceChildren(...costParts(one, other));
  };
  const changed = () => { history.replaceState(null, "", `#a=${a.value}&b=${b.value}`); show(); };
  for (const select of [a, b]) select.addEventListener("input", changed);
  byId("swap").addEventListener("click", () => { [a.value, b.value] = [b.value, a.value]; changed(); });
  addEventListener("hashchange", read);
  byId("pair").hidden = false;
  read();
}

function summary(pair) {
  const marks = Object.values(pair.kinds), count = (side, mark) => marks.reduce((sum, each) => sum + each[side].split(mark).length - 1, 0);
  if (!pair.distance) return "Distance 0: the cells are equal.";
  const how = pair.isExact ? "" : "; nodes of large cells are compared by their numbers";
  return `Distance ${pair.distance}: edges only in A ${count(0, "-")}, only in B ${count(1, "+")}, with another operation ${count(0, "~")}${how}.`;
}

function kindParts(kind, one, other, pair) {
  const marks = pair?.kinds[kind], heading = element("h2", {}, `${kind[0].toUpperCase()}${kind.slice(1)} cell`);
  const moved = (marks?.[2] ?? []).map(([i, j]) => `${i} of A is ${j} of B`);
  const note = moved.length ? [element("p", { class: "note" }, `Inner node ${moved.join(", ")}.`)] : [];
  return [heading, ...note, element("div", { class: "sides" }, side("A", kind, one, marks?.[0]), side("B", kind, other, marks?.[1]))];
}

function side(letter, kind, cell, marks) {
  const link = element("a", { href: `cells/${cell.slug}.html` }, cell.name);
  const section = element("section", {}, element("h3", {}, `${letter}: `, link, `, ${cell.method}`));
  if (!(kind in cell.edges)) {
    section.append(element("p", {}, `It has no ${kind} cell.`));
    return section;
  }
  const picture = element("div", { class: marks ? "scroll compared" : "scroll", tabindex: "0", role: "region", "aria-label": `${kind} cell of ${letter}` });
  picture.innerHTML = PICTURES[cell.slug][kind]; // made by nasarch/drawing/svg.py, with all text escaped
  const list = element("ul", {});
  cell.edges[kind].forEach(([operation, source, target], index) => {
    const mark = marks?.[index] ?? "=", item = element("li", {}, `${mark === "=" ? " " : mark} ${source} → ${target}${operation ? `: ${operation}` : ""}`);
    if (mark !== "=") item.className = CLASSES[mark];
    list.append(item);
    if (marks) for (const part of picture.querySelectorAll(`[data-edge="${index}"]`)) part.classList.add(CLASSES[mark]);
  });
  section.append(picture, list);
  return section;
}

function costParts(one, other) {
  const shared = Object.keys(one.costs).filter((network) => network in other.costs);
  if (!shared.length) return [];
  const cell = (text) => element("td", { class: "number" }, text);
  const rows = shared.map((network) => {
    const [[p, m], [q, n]] = [one.costs[network], other.costs[network]];
    return element("tr", {}, element("th", { scope: "row" }, network), cell(p.toLocaleString("en")), cell(q.toLocaleString("en")), cell((q / p).toFixed(3)),
      cell(`${millions(m, 1)} M`), cell(`${millions(n, 1)} M`), cell((n / m).toFixed(3)));
  });
  const titles = ["network", "parameters of A", "of B", "B / A", "multi-adds of A", "of B", "B / A"];
  const head = element("tr", {}, ...titles.map((title, i) => element("th", { scope: "col", class: i ? "number" : "" }, title)));
  const table = element("table", { class: "results" }, element("thead", {}, head), element("tbody", {}, ...rows));
  return [element("h2", {}, "The same networks with both cells"), element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Costs" }, table)];
}

if (byId("models")) startIndex();
if (byId("pair")) startComparison();
