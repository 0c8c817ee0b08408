"use strict";
// The linked planes: one position, a slider for each plane, and everything drawn anew when something moves.

const PRESETS = { brain: [40, 80], soft: [40, 400], bone: [400, 1800], full: [1024, 4096] }; // level, width; HU
const FIRST_PRESET = "bone";
const AIR_BELOW = -200, BONE_ABOVE = 250; // HU
const WHEEL_STEP = 40; // pixels of scrolling a slice
const SIDES = ["RL", "AP", "IS"];

const byId = (id) => document.getElementById(id);
const signed = (number, digits) => number.toFixed(digits).replace("-", "\u2212");

function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function startViewer(facts, volumes) {
  const { size, spacing, origin } = facts.geometry, geometry = facts.geometry;
  const mm = size.map((count, axis) => count * spacing[axis]); // how far the voxels reach along x, y, z
  const layers = { mr: "MR", ct: "Synthetic CT", fusion: "Fusion", ...(volumes.cycle ? { cycle: "Cycle error" } : {}) };
  const settings = { level: 0, width: 1, opacity: byId("opacity").value / 100, cross: true, smooth: true };
  const visible = new Set(["mr", "ct", "fusion"]);
  const canvases = []; // { canvas, layer, plane }
  const sliders = {}; // by plane: { slider, output }
  let at = facts.start, due = false, pixels = null;

  const millimetres = (axis) => origin[axis] + at[axis] * spacing[axis];
  const told = (axis) => { const mm = millimetres(axis); return `${SIDES[axis][mm > 0 ? 1 : 0]} ${Math.abs(mm).toFixed(1)} mm`; };

  function redraw() {
    due = false;
    pixels ??= layersOf(volumes, settings, facts.cycle_steps);
    for (const { canvas, layer, plane } of canvases) {
      if (visible.has(layer)) drawPlane(canvas, plane, at, geometry, pixels[layer], settings);
    }
    for (const [name, { slider, output }] of Object.entries(sliders)) {
      const axis = PLANES[name].normal;
      slider.value = at[axis];
      output.value = told(axis);
      slider.setAttribute("aria-valuetext", told(axis));
    }
    readOut();
  }

  function draw() {
    if (!due) requestAnimationFrame(redraw);
    due = true;
  }

  function readOut() {
    const n = at[0] + size[0] * (at[1] + size[1] * at[2]), hu = volumes.ct[n];
    const [low, high] = facts.mr_window, grey = volumes.mr[n], mr = low + (grey / 255) * (high - low);
    byId("at").textContent = [0, 1, 2].map((axis) => signed(millimetres(axis), 1)).join(", ");
    const bound = grey === 0 ? "\u2264 " : grey === 255 ? "\u2265 " : "\u2248 ";
    byId("mr-value").textContent = bound + signed(mr, high - low < 100 ? 2 : 0);
    const tissue = hu < AIR_BELOW ? "air" : hu > BONE_ABOVE ? "bone" : "soft tissue";
    byId("ct-value").replaceChildren(`${signed(hu, 0)} HU `, made("small", {}, tissue));
    if (volumes.cycle) byId("cycle-value").textContent = `${(volumes.cycle[n] / facts.cycle_steps * facts.cycle_top).toFixed(1)} %`;
  }

  function moveTo(moved) {
    const changed = moved.some((place, axis) => place !== at[axis]);
    at = moved;
    if (changed) draw();
    return changed;
  }

  function moveBy(axis, steps) {
    const moved = [...at];
    moved[axis] = Math.min(Math.max(at[axis] + steps, 0), size[axis] - 1);
    return moveTo(moved);
  }

  function setWindow(level, width) {
    Object.assign(settings, { level, width });
    byId("level").value = level;
    byId("width").value = width;
    for (const button of byId("presets").children) {
      const [presetLevel, presetWidth] = PRESETS[button.dataset.preset];
      button.setAttribute("aria-pressed", presetLevel === level && presetWidth === width);
    }
    pixels = null;
    draw();
  }

  function listen(canvas, plane) {
    const follow = (event) => {
      const ratio = canvas.width / canvas.clientWidth, frame = frameOf(canvas, plane, size, spacing);
      moveTo(voxelAt(plane, at, size, spacing, frame, event.offsetX * ratio, event.offsetY * ratio));
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); follow(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) follow(event); });
    let scrolled = 0;
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) return; // the browser's zoom
      scrolled += event.deltaY * (event.deltaMode === 1 ? WHEEL_STEP : 1);
      const steps = Math.trunc(scrolled / WHEEL_STEP), once = Math.sign(steps);
      scrolled -= steps * WHEEL_STEP;
      if (!steps || moveBy(plane.normal, -once)) event.preventDefault(); // at the last slice the page scrolls on
    }, { passive: false });
    const up = plane.down === 2 ? 1 : -1;
    const keys = {
      ArrowLeft: [plane.across, -1], ArrowRight: [plane.across, 1], ArrowUp: [plane.down, up], ArrowDown: [plane.down, -up],
      PageUp: [plane.normal, 1], PageDown: [plane.normal, -1],
    };
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in keys)) return;
      moveBy(...keys[event.key]);
      event.preventDefault();
    });
  }

  function build() {
    const grid = byId("planes");
    const widths = Object.values(PLANES).map((plane) => `minmax(0, ${mm[plane.across].toFixed(1)}fr)`);
    grid.style.gridTemplateColumns = `18px ${widths.join(" ")}`;
    grid.append(made("span"));
    for (const [name, plane] of Object.entries(PLANES)) {
      const slider = made("input", { type: "range", id: `slice-${name}`, min: 0, max: size[plane.normal] - 1, step: 1, "aria-label": `${name} slice` });
      const output = made("output", { for: `slice-${name}` });
      slider.addEventListener("input", () => moveBy(plane.normal, Number(slider.value) - at[plane.normal]));
      grid.append(made("div", { class: "head" }, made("span", {}, name[0].toUpperCase() + name.slice(1), output), slider));
      sliders[name] = { slider, output };
    }
    for (const [layer, title] of Object.entries(layers)) {
      const parts = [made("div", { class: "side" }, title)];
      for (const [name, plane] of Object.entries(PLANES)) {
        const canvas = made("canvas", { id: `${layer}-${name}`, tabindex: 0, role: "img", "aria-label": `${title}, ${name} plane; arrow keys, Page Up and Page Down move` });
        listen(canvas, plane);
        canvases.push({ canvas, layer, plane });
        parts.push(canvas);
      }
      grid.append(...parts);
      const box = made("input", { type: "checkbox", id: `show-${layer}` });
      const show = () => {
        visible[box.checked ? "add" : "delete"](layer);
        for (const part of parts) part.hidden = !box.checked;
        fit();
      };
      box.checked = visible.has(layer);
      box.addEventListener("change", show);
      byId("rows").append(made("label", {}, box, title));
      for (const part of parts) part.hidden = !box.checked;
    }
    for (const [name, preset] of Object.entries(PRESETS)) {
      const button = made("button", { type: "button", "data-preset": name, title: `level ${preset[0]}, width ${preset[1]} HU` }, name);
      button.addEventListener("click", () => setWindow(...preset));
      byId("presets").append(button);
    }
    byId("cycle-part").hidden = !volumes.cycle;
  }

  // Canvases as many pixels wide as the screen shows, all of a row equally high, a millimetre as long in each plane.
  function fit() {
    const open = canvases.filter(({ canvas }) => canvas.clientWidth > 0), ratio = devicePixelRatio;
    const scale = Math.min(...open.map(({ canvas, plane }) => canvas.clientWidth * ratio / mm[plane.across]));
    for (const { canvas } of open) {
      const width = Math.round(canvas.clientWidth * ratio), height = Math.round(Math.max(mm[1], mm[2]) * scale);
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    draw();
  }

  build();
  const typed = () => setWindow(Number(byId("level").value) || 0, Math.max(1, Number(byId("width").value) || 1));
  for (const id of ["level", "width"]) byId(id).addEventListener("change", typed);
  for (const id of ["cross", "smooth"]) byId(id).addEventListener("change", (event) => { settings[id] = event.target.checked; draw(); });
  byId("opacity").addEventListener("input", (event) => { settings.opacity = event.target.value / 100; pixels = null; draw(); });
  setWindow(...PRESETS[FIRST_PRESET]);
  byId("viewer").hidden = false;
  byId("still").hidden = true;
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(byId("planes"));
  fit();
}

async function start() {
  const facts = JSON.parse(byId("facts").textContent);
  if (typeof DecompressionStream === "undefined" || typeof OffscreenCanvas === "undefined") {
    byId("trouble").textContent = "This browser is too old to show the planes with sliders (Chrome or Edge 80, Firefox 113, Safari 16.4 can); the picture below does not move.";
    return;
  }
  try {
    const [mr, ct, cycle] = await Promise.all([unpackedBytes("mr"), unpackedHu("ct"), byId("cycle") ? unpackedBytes("cycle") : null]);
    const voxels = facts.geometry.size.reduce((product, count) => product * count, 1);
    if (mr.length !== voxels || ct.length !== voxels) throw new Error("voxels are missing");
    startViewer(facts, { mr, ct, cycle });
    document.body.dataset.ready = "yes";
  } catch (error) {
    byId("trouble").textContent = `This page is damaged (${error.message}); write it again. The picture below does not move.`;
  }
}

start();
