// Arrays of the page. Python packs an array as whole numbers with a scale for each channel (lfadsx/report/packing.py):
// value = low + step * code; the largest code means that there is no value.
"use strict";

function readJson(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

// Returns { shape, at(...index) } for a packed array, or null where there is none.
function unpack(packed) {
  if (!packed) return null;
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const codes = packed.bytes === 2 ? new Uint16Array(bytes.buffer) : bytes;
  const missing = 256 ** packed.bytes - 1;
  const shape = packed.shape;
  function at(...index) {
    let place = 0;
    index.forEach((i, axis) => { place = place * shape[axis] + i; });
    const channel = index[index.length - 1];
    return codes[place] === missing ? null : packed.low[channel] + packed.step[channel] * codes[place];
  }
  return { shape, at };
}

// Values of one trial (or condition) and channel over the first nBins bins.
function course(array, row, channel, nBins) {
  return Array.from({ length: nBins }, (_, bin) => array.at(row, bin, channel));
}
