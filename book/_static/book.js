// Pictures that a line parts, and curves that answer to pointer and keyboard. Without this script the page shows the
// pictures side by side and the curves as a figure (satstudy/report/html.py).
"use strict";

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function choice(label, names, chosen, change) {
  const select = make("select", {}, ...names.map((name) => make("option", { textContent: name, value: name })));
  select.value = chosen;
  select.addEventListener("change", () => change(select.value));
  return make("label", {}, label + " ", select);
}

// --- Pictures -----------------------------------------------------------------------------------------------

function compare(box) {
  const pictures = new Map([...box.querySelectorAll(".picture")].map((one) => [one.dataset.name, one]));
  const names = [...pictures.keys()];
  if (names.length < 2) return;
  const left = make("img"), right = make("img");
  const range = make("input", { type: "range", min: 0, max: 100, value: 50, step: 1 });
  range.setAttribute("aria-label", `Line between two pictures of ${box.dataset.place}, in percent from the left`);
  const parted = make("div", { className: "parted" }, left, make("div", { className: "right" }, right),
    make("div", { className: "line" }), range);
  const notes = make("p");
  const shown = [names[0], names[1]];
  function update() {
    for (const [side, name] of [[left, shown[0]], [right, shown[1]]]) {
      const image = pictures.get(name).querySelector("img");
      for (const key of ["src", "alt", "width", "height"]) side.setAttribute(key, image.getAttribute(key));
    }
    notes.textContent = `Left: ${pictures.get(shown[0]).textContent}. Right: ${pictures.get(shown[1]).textContent}.`;
  }
  range.addEventListener("input", () => {
    for (const place of ["--at", "--x"]) parted.style.setProperty(place, `${range.value}%`);
  });
  parted.addEventListener("pointermove", (event) => {
    const place = parted.getBoundingClientRect();
    parted.style.setProperty("--x", `${(100 * (event.clientX - place.left)) / place.width}%`);
    parted.style.setProperty("--y", `${(100 * (event.clientY - place.top)) / place.height}%`);
  });
  const zoom = make("input", { type: "checkbox" });
  zoom.addEventListener("change", () => parted.classList.toggle("zoomed", zoom.checked));
  const controls = make("div", { className: "controls" },
    choice("Left", names, shown[0], (name) => { shown[0] = name; update(); }),
    choice("Right", names, shown[1], (name) => { shown[1] = name; update(); }),
    make("label", {}, zoom, " magnify at the pointer"));
  update();
  pictures.forEach((picture) => { picture.hidden = true; });
  if (box.classList.contains("squares")) parted.classList.add("squares");
  box.before(controls, parted, notes);
}

// --- Curves -------------------------------------------------------------------------------------------------

const SIGNS = { o: "●", s: "■", "^": "▲", v: "▼", D: "◆", P: "✚", X: "✖", "*": "★", "<": "◀", ">": "▶", p: "⬟", h: "⬢" };

function line(look, points) {
  return draw("polyline", { points, fill: "none", stroke: look.colour, "stroke-width": 1.6, "stroke-dasharray": look.dashes });
}

function sign(look, x, y) {
  return draw("text", { x, y, fill: look.colour, style: `fill:${look.colour}`, "text-anchor": "middle", "dominant-baseline": "central" },
    SIGNS[look.marker] ?? "●");
}

function ticks(low, high) {
  const step = [0.5, 1, 2, 5, 10].find((one) => (high - low) / one <= 7) ?? 20;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

function curves(box) {
  const { looks, sets } = JSON.parse(box.querySelector("script").textContent);
  const figure = draw("svg", { tabindex: 0, role: "application" });
  const output = make("output", { textContent: "Point at a marker, or use the arrow keys." });
  const legend = make("ul", { className: "legend" });
  let name = Object.keys(sets)[0], at = null, placed = [];

  function mark(point) {
    at = point;
    figure.querySelector(".mark")?.remove();
    figure.append(draw("circle", { class: "mark", cx: point.x, cy: point.y, r: 9, fill: "none", stroke: "black", "stroke-width": 2 }));
    output.textContent = `${looks[point.codec].label}, ${point.setting}: ${point.bpp} bpp, ${point.psnr} dB`;
  }

  function update() {
    const width = Math.max(280, box.clientWidth), height = Math.min(420, 0.75 * width);
    const frame = { left: 44, right: width - 10, top: 10, bottom: height - 40 };
    const set = sets[name], all = Object.values(set).flat();
    const rates = all.map((p) => Math.log(p[0])), levels = all.map((p) => p[1]);
    const [low, high] = [Math.min(...rates), Math.max(...rates)];
    const [bottom, top] = [Math.floor(Math.min(...levels)), Math.ceil(Math.max(...levels))];
    const x = (bpp) => frame.left + 12 + ((Math.log(bpp) - low) / (high - low || 1)) * (frame.right - frame.left - 24);
    const y = (psnr) => frame.bottom - ((psnr - bottom) / (top - bottom || 1)) * (frame.bottom - frame.top);
    figure.setAttribute("viewBox", `0 0 ${width} ${height}`);
    figure.setAttribute("aria-label", `PSNR against rate, ${name}. Arrow keys move from point to point and from codec to codec.`);
    figure.replaceChildren();
    for (let power = -4; power < 3; power++) for (const first of width < 500 ? [1] : [1, 2, 5]) {
      const bpp = Number((first * 10 ** power).toPrecision(2));
      if (Math.log(bpp) < low || Math.log(bpp) > high) continue;
      figure.append(draw("line", { x1: x(bpp), x2: x(bpp), y1: frame.top, y2: frame.bottom, stroke: "#ddd" }),
        draw("text", { x: x(bpp), y: frame.bottom + 16, "text-anchor": "middle" }, String(bpp)));
    }
    for (const psnr of ticks(bottom, top)) {
      figure.append(draw("line", { x1: frame.left, x2: frame.right, y1: y(psnr), y2: y(psnr), stroke: "#ddd" }),
        draw("text", { x: frame.left - 6, y: y(psnr), "text-anchor": "end", "dominant-baseline": "central" }, String(psnr)));
    }
    figure.append(draw("text", { x: frame.right, y: height - 6, "text-anchor": "end" }, "rate in bpp"),
      draw("text", { x: 12, y: frame.top + 2, transform: `rotate(-90 12 ${frame.top + 2})`, "text-anchor": "end", "dominant-baseline": "central" }, "PSNR in dB"));
    placed = [];
    for (const [codec, points] of Object.entries(set)) {
      const here = points.map(([bpp, psnr, setting], i) => ({ codec, bpp, psnr, setting, i, x: x(bpp), y: y(psnr) }));
      placed.push(here);
      figure.append(line(looks[codec], here.map((p) => `${p.x},${p.y}`).join(" ")), ...here.map((p) => sign(looks[codec], p.x, p.y)));
    }
    legend.replaceChildren(...Object.keys(set).map((codec) => make("li", {},
      draw("svg", { viewBox: "0 0 48 16", "aria-hidden": "true" }, line(looks[codec], "0,8 48,8"), sign(looks[codec], 24, 8)), looks[codec].label)));
    at = null;
  }

  figure.addEventListener("pointermove", (event) => {
    const place = figure.getBoundingClientRect(), scale = figure.viewBox.baseVal.width / place.width;
    const [px, py] = [(event.clientX - place.left) * scale, (event.clientY - place.top) * scale];
    const near = placed.flat().map((p) => [Math.hypot(p.x - px, p.y - py), p]).sort((a, b) => a[0] - b[0])[0];
    if (near && near[0] < 30) mark(near[1]);
  });
  figure.addEventListener("keydown", (event) => {
    const [along, across] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [];
    if (along === undefined) return;
    event.preventDefault();
    const row = at ? placed.findIndex((points) => points[0].codec === at.codec) : 0;
    const points = placed[(row + across + placed.length) % placed.length];
    mark(points[at ? Math.min(Math.max(at.i + along, 0), points.length - 1) : 0]);
  });
  box.querySelector("img").hidden = true;
  const names = Object.keys(sets);
  box.append(...(names.length > 1 ? [make("div", { className: "controls" },
    choice("Images", names, name, (chosen) => { name = chosen; update(); }))] : []), figure, output, legend);
  update();
  let width = box.clientWidth;
  new ResizeObserver(() => {
    if (box.clientWidth !== width) { width = box.clientWidth; update(); }
  }).observe(box);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".compare").forEach(compare);
  document.querySelectorAll(".curves").forEach(curves);
  // The theme gives the signs that fold its list of pages no name.
  for (const sign of document.querySelectorAll(".bd-sidebar summary")) sign.setAttribute("aria-label", "Pages of this part");
});
