/**
 * Values to colours: the same stretches as the Python side (view/stretch.py), so that a picture
 * on the page and one from the command line agree.
 *
 * A stretch is described by the 255 values at which the next of 256 levels begins.
 */

export const LEVELS = 256;
const DECADES = 12; // of the log stretch; smaller magnitudes look like zero
export const STRETCHES = ['rank', 'log', 'linear'];

/**
 * The 255 ascending values at which the next level begins.
 *
 * @param {Float64Array} reference values the picture is balanced for, without NaN, any order
 * @param {'rank'|'log'|'linear'} stretch
 * @param {boolean} signed whether the sign tells two kinds of pixels apart
 * @param {number} gap share of the levels left out between the signs, 0 to 0.5
 * @returns {Float64Array} finite
 */
export function edges(reference, stretch, signed, gap = 0.25) {
  const values = Float64Array.from(reference).sort();
  const buffer = 2 * Math.round((gap * LEVELS) / 2);
  const found = { rank, log, linear }[stretch](values, signed, (LEVELS - buffer) / 2);
  return found.map((edge) => Math.max(Math.min(edge, Number.MAX_VALUE), -Number.MAX_VALUE));
}

/** Whether the sign of a reading tells two kinds of pixels apart: always in `measure`. */
export function isSigned(reading, values) {
  if (reading === 'measure') return true;
  return values.some((v) => v < 0) && values.some((v) => v >= 0);
}

/** Histogram equalisation, apart for each sign. */
function rank(values, signed, side) {
  if (!signed) return quantiles(values, LEVELS, Infinity);
  const zero = firstNotBelow(values, 0);
  return joined(
    quantiles(values.subarray(0, zero), side, 0),
    quantiles(values.subarray(zero), side, Infinity),
    side,
  );
}

/** Edges that split ascending values evenly; `beyond` where there are too few. */
function quantiles(values, levels, beyond) {
  const found = new Float64Array(levels - 1);
  for (let i = 1; i < levels; i++) {
    const at = Math.max(Math.floor((i * (values.length - 1)) / levels) + 1, 0);
    found[i - 1] = at < values.length ? values[at] : beyond;
  }
  return found;
}

function linear(values, signed) {
  let [low, high] = finiteRange(values);
  if (signed) {
    high = Math.max(Math.abs(low), Math.abs(high));
    low = -high;
  }
  const found = new Float64Array(LEVELS - 1);
  for (let i = 1; i < LEVELS; i++) {
    found[i - 1] = low * (1 - i / LEVELS) + high * (i / LEVELS);
  }
  return found;
}

function log(values, signed, side) {
  const magnitudes = values.filter((v) => v !== 0).map(Math.abs);
  let [low, high] = finiteRange(magnitudes);
  low = Math.max(low, high * 10 ** -DECADES);
  const levels = signed ? side : LEVELS;
  const found = new Float64Array(levels - 1).fill(high);
  if (low < high) {
    const [from, to] = [Math.log(low), Math.log(high)];
    for (let i = 1; i < levels; i++) found[i - 1] = Math.exp(from + ((to - from) * i) / levels);
  }
  const mirrored = found.map((edge) => -edge).reverse();
  if (signed) return joined(mirrored, found, side);
  return values.every((v) => v <= 0) ? mirrored : found;
}

/** Both sides around the gap, whose levels all begin at 0 and so hold nothing. */
function joined(negative, others, side) {
  const found = new Float64Array(LEVELS - 1);
  found.set(negative);
  found.set(others, LEVELS - side);
  return found;
}

function finiteRange(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const v of values) {
    if (!Number.isFinite(v)) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return low <= high ? [low, high] : [0, 0];
}

function firstNotBelow(values, bound) {
  let [from, to] = [0, values.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (values[middle] < bound) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** A colour map as it is used: low readings (converged) at its END, as published. */
export function turned(table) {
  const found = new Uint8Array(table.length);
  for (let i = 0; i < LEVELS; i++) {
    found.set(table.subarray(3 * (LEVELS - 1 - i), 3 * (LEVELS - i)), 3 * i);
  }
  return found;
}

/**
 * How values become colours; made once, then used for every tile until something changes.
 *
 * Tiles are float32, and the upper 16 bits of a float32 name a range of neighbouring numbers.
 * For most of the 65,536 ranges all numbers have the same level, which is looked up; only the
 * others need a search.
 */
export class Scale {
  /**
   * @param {Float64Array} edges ascending
   * @param {Uint8Array} table three bytes a level, the lowest values first
   * @param {string} missing `#rrggbb` of NaN: not finite, or not trained
   */
  constructor(edges, table, missing) {
    this.edges = edges;
    this.pixels = new Uint32Array(edges.length + 2);
    for (let i = 0; i <= edges.length; i++) this.pixels[i] = packed(table.subarray(3 * i));
    this.missing = edges.length + 1;
    this.pixels[this.missing] = packed(bytes(missing));
    this.ranges = this.#ranges();
  }

  /** Fixed colours `#rrggbb` for the codes 0, 1, ... of a reading. */
  static codes(colours, missing) {
    const between = Float64Array.from(colours.slice(1), (_, i) => i + 0.5);
    return new Scale(between, Uint8Array.from(colours.flatMap(bytes)), missing);
  }

  /** Number of edges that are not above a value; one more than there are levels for NaN. */
  level(value) {
    if (Number.isNaN(value)) return this.missing;
    let [from, to] = [0, this.edges.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.edges[middle] <= value) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /**
   * Paints a tile.
   *
   * @param {Float32Array} values `[n * n]`, row 0 is the lowest y
   * @param {CanvasRenderingContext2D} context of a canvas of n by n pixels
   */
  paint(values, context) {
    const n = context.canvas.width;
    const image = context.createImageData(n, n);
    const pixels = new Uint32Array(image.data.buffer);
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let row = 0; row < n; row++) {
      const target = (n - 1 - row) * n;
      for (let column = 0; column < n; column++) {
        const at = row * n + column;
        let level = this.ranges[bits[at] >>> 16];
        if (level === MIXED) level = this.level(values[at]);
        pixels[target + column] = this.pixels[level];
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Level of every float32 whose upper half is the index, or MIXED where they have several. */
  #ranges() {
    const bits = Uint32Array.from({ length: 2 ** 17 }, (_, i) =>
      i % 2 ? (i >>> 1) * 65536 + 65535 : (i >>> 1) * 65536,
    );
    const ends = new Float32Array(bits.buffer);
    const found = new Uint16Array(2 ** 16);
    for (let i = 0; i < found.length; i++) {
      const [one, other] = [this.level(ends[2 * i]), this.level(ends[2 * i + 1])];
      found[i] = one === other ? one : MIXED;
    }
    return found;
  }
}

const MIXED = 0xffff;

/** The three bytes of `#rrggbb`. */
function bytes(colour) {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

/** A pixel in the byte order of canvas image data on little-endian machines. */
function packed([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Between two sets of edges: 0 gives the first, 1 the second. */
export function mixed(first, second, share) {
  return first.map((edge, i) => edge * (1 - share) + second[i] * share);
}
