"use strict";
// The voxels of the page: base64 of zlib of differences from voxel to voxel; see volumes.py.

async function inflated(id) {
  const text = atob(document.getElementById(id).textContent);
  const packed = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) packed[n] = text.charCodeAt(n);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Uint8Array of 0 to 255: differences modulo 256.
async function unpackedBytes(id) {
  const values = await inflated(id);
  for (let n = 1; n < values.length; n++) values[n] += values[n - 1];
  return values;
}

// Int16Array of HU: differences folded to 0, -1, 1, -2, ... = 0, 1, 2, 3, ...; all low bytes, then all high ones.
async function unpackedHu(id) {
  const bytes = await inflated(id);
  const hu = new Int16Array(bytes.length / 2);
  for (let n = 0, value = 0; n < hu.length; n++) {
    const folded = bytes[n] | (bytes[hu.length + n] << 8);
    value += (folded >>> 1) ^ -(folded & 1);
    hu[n] = value; // modulo 2^16
  }
  return hu;
}
