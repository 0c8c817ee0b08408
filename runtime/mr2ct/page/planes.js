"use strict";
// From voxels to pixels. Voxels lie in the order x (to the patient's Left), y (Posterior), z (Superior), x fastest.

// across, down, normal: of x, y, z = 0, 1, 2. Where down is z, Superior is at the top. edges: left, right, top, bottom.
const PLANES = {
  sagittal: { across: 1, down: 2, normal: 0, edges: "APSI" },
  coronal: { across: 0, down: 2, normal: 1, edges: "RLSI" },
  axial: { across: 0, down: 1, normal: 2, edges: "RLAP" },
};
const HU_LOW = -1024, HU_COUNT = 4096;
const HEAT = [[0, 0, 0], [96, 14, 80], [205, 52, 50], [246, 148, 34], [252, 226, 110], [255, 255, 240]];

const opaque = (red, green, blue) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // as ImageData lies in memory

// 0 to 1 as a colour of HEAT.
function heat(share) {
  const place = Math.min(Math.max(share, 0), 1) * (HEAT.length - 1), low = Math.min(Math.floor(place), HEAT.length - 2);
  return [0, 1, 2].map((part) => Math.round(HEAT[low][part] + (place - low) * (HEAT[low + 1][part] - HEAT[low][part])));
}

// Where a HU lies in a window, 0 to 1 (DICOM PS3.3 C.11.2.1.3.2, LINEAR_EXACT).
function inWindow(hu, level, width) {
  return Math.min(Math.max((hu - level) / width + 0.5, 0), 1);
}

// For each layer, a function from a voxel's number to its pixel, 0xAABBGGRR.
function layersOf(volumes, settings, cycleSteps) {
  const { mr, ct, cycle } = volumes;
  const shares = Float32Array.from({ length: HU_COUNT }, (_, n) => inWindow(HU_LOW + n, settings.level, settings.width));
  const greys = Uint32Array.from(shares, (share) => { const grey = Math.round(255 * share); return opaque(grey, grey, grey); });
  const plain = Uint32Array.from({ length: 256 }, (_, n) => opaque(n, n, n));
  const hot = Uint32Array.from({ length: 256 }, (_, n) => opaque(...heat(n / cycleSteps)));
  const colours = Array.from(shares, heat);
  const cover = Float32Array.from(shares, (share) => settings.opacity * Math.min(1, 1.6 * share ** 1.5)); // air stays clear
  return {
    mr: (n) => plain[mr[n]],
    ct: (n) => greys[ct[n] - HU_LOW],
    fusion: (n) => {
      const bin = ct[n] - HU_LOW, part = cover[bin], rest = (1 - part) * mr[n], [red, green, blue] = colours[bin];
      return opaque(rest + part * red, rest + part * green, rest + part * blue);
    },
    cycle: (n) => hot[cycle[n]],
  };
}

// A slice as a canvas of one pixel a voxel.
function sliceOf(plane, at, size, pixel) {
  const { across, down, normal } = plane, steps = [1, size[0], size[0] * size[1]];
  const columns = size[across], rows = size[down], image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0, n = 0; row < rows; row++) {
    const line = at[normal] * steps[normal] + (down === 2 ? rows - 1 - row : row) * steps[down];
    for (let column = 0; column < columns; column++) pixels[n++] = pixel(line + column * steps[across]);
  }
  const canvas = new OffscreenCanvas(columns, rows);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// How a canvas shows a plane: pixels a millimetre, and where its left top corner lies.
function frameOf(canvas, plane, size, spacing) {
  const wide = size[plane.across] * spacing[plane.across], high = size[plane.down] * spacing[plane.down];
  const scale = Math.min(canvas.width / wide, canvas.height / high);
  return { scale, wide: wide * scale, high: high * scale, left: (canvas.width - wide * scale) / 2, top: (canvas.height - high * scale) / 2 };
}

// The crosshair's pixel on a canvas: the middle of the voxel `at`.
function pixelOf(plane, at, size, spacing, frame) {
  const down = plane.down === 2 ? size[2] - 1 - at[2] : at[plane.down];
  return [
    frame.left + (at[plane.across] + 0.5) * spacing[plane.across] * frame.scale,
    frame.top + (down + 0.5) * spacing[plane.down] * frame.scale,
  ];
}

// The voxel under a pixel of a canvas, in the plane through `at`.
function voxelAt(plane, at, size, spacing, frame, x, y) {
  const limited = (value, axis) => Math.min(Math.max(Math.floor(value), 0), size[axis] - 1);
  const across = limited((x - frame.left) / frame.scale / spacing[plane.across], plane.across);
  const down = limited((y - frame.top) / frame.scale / spacing[plane.down], plane.down);
  const moved = [...at];
  moved[plane.across] = across;
  moved[plane.down] = plane.down === 2 ? size[2] - 1 - down : down;
  return moved;
}

const SCALE_BAR_MM = 50;

// One plane of one layer, with its sides, a bar of 50 mm and the crosshair.
function drawPlane(canvas, plane, at, geometry, pixel, settings) {
  const context = canvas.getContext("2d"), { size, spacing } = geometry, frame = frameOf(canvas, plane, size, spacing);
  const thick = Math.max(1, Math.round(devicePixelRatio));
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = settings.smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(sliceOf(plane, at, size, pixel), frame.left, frame.top, frame.wide, frame.high);
  if (settings.cross) {
    const [x, y] = pixelOf(plane, at, size, spacing, frame).map(Math.round), gap = 8 * thick;
    context.fillStyle = "rgba(90, 200, 255, 0.75)";
    context.fillRect(x, 0, thick, Math.max(0, y - gap));
    context.fillRect(x, y + gap, thick, canvas.height);
    context.fillRect(0, y, Math.max(0, x - gap), thick);
    context.fillRect(x + gap, y, canvas.width, thick);
  }
  drawSides(context, canvas, plane, frame, thick);
}

function drawSides(context, canvas, plane, frame, thick) {
  const { width, height } = canvas, edge = 5 * thick;
  context.font = `600 ${13 * thick}px system-ui, sans-serif`;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  context.lineWidth = 3 * thick;
  const places = [
    [plane.edges[0], edge, height / 2, "left", "middle"], [plane.edges[1], width - edge, height / 2, "right", "middle"],
    [plane.edges[2], width / 2, edge, "center", "top"], [plane.edges[3], width / 2, height - edge, "center", "bottom"],
  ];
  for (const [letter, x, y, align, baseline] of places) {
    context.textAlign = align;
    context.textBaseline = baseline;
    context.strokeText(letter, x, y);
    context.fillText(letter, x, y);
  }
  const length = SCALE_BAR_MM * frame.scale, left = edge * 2, bottom = height - edge * 2;
  context.fillRect(left, bottom, length, thick);
  for (const end of [left, left + length - thick]) context.fillRect(end, bottom - 3 * thick, thick, 3 * thick);
  context.font = `${10 * thick}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "bottom";
  context.fillText(`${SCALE_BAR_MM} mm`, left, bottom - 3 * thick);
}
