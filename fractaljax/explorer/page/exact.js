/**
 * Exact positions: a fraction of the map's side, held as a BigInt with 192 bits after the point.
 *
 * float64 has 53 bits, and a view 2^40 times narrower than the map needs more than that for its
 * pixels. All that is told to the server or written in a link is computed here.
 */

const BITS = 192;
const SHIFT = BigInt(BITS);

/** The whole side of the map. */
export const ONE = 1n << SHIFT;

/** Floor of `value * 2**by` for a BigInt and an integer of either sign. */
export function shifted(value, by) {
  return by >= 0 ? value << BigInt(by) : value >> BigInt(-by);
}

/** A decimal such as `-1.25e-3` as fixed point; throws a SyntaxError for anything else. */
export function fixed(text) {
  const match = /^\s*([+-]?)(\d{1,400})(?:\.(\d{0,400}))?(?:e([+-]?\d{1,3}))?\s*$/i.exec(text);
  if (!match) throw new SyntaxError(`not a number: ${text}`);
  const [, sign, whole, part = '', exponent = '0'] = match;
  const power = Number(exponent) - part.length;
  const digits = BigInt(whole + part) << SHIFT;
  const value = power >= 0 ? digits * 10n ** BigInt(power) : digits / 10n ** BigInt(-power);
  return sign === '-' ? -value : value;
}

/** A fixed-point number as a decimal string with so many digits after the point, rounded. */
export function decimal(value, digits) {
  const scale = 10n ** BigInt(digits);
  const rounded = (value * scale * 2n + ONE) >> (SHIFT + 1n);
  const magnitude = rounded < 0n ? -rounded : rounded;
  const text = magnitude.toString().padStart(digits + 1, '0');
  const sign = rounded < 0n ? '-' : '';
  return digits ? `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}` : sign + text;
}

/** The nearest float64 of a fixed-point number. */
export function float(value) {
  return Number(value) / 2 ** BITS;
}

/** Fixed point from a float64 in [0, 1] of a cell that is 2^-level of the map's side. */
export function part(number, level) {
  return shifted(BigInt(Math.round(number * 2 ** 52)), BITS - 52 - level);
}

/** Digits after the point that tell apart neighbouring samples of a level, with some to spare. */
export function digitsAt(level) {
  return Math.max(Math.ceil(level * Math.LOG10E * Math.LN2) + 3, 3);
}

/** Both ends of an axis, fixed point: the decimal numbers that the server printed. */
function ends(axis) {
  return [fixed(String(axis.low)), fixed(String(axis.high))];
}

/** Axis coordinate at a fraction of the map's side: log10 of the value on a log axis, log10 of one
 * minus the value on a log1m axis, where it descends. */
export function coordinate(axis, fraction) {
  const [low, high] = ends(axis);
  return low + (((high - low) * fraction) >> SHIFT);
}

/** Fraction of the map's side at an axis coordinate, both fixed point. */
export function fractionAt(axis, position) {
  const [low, high] = ends(axis);
  return ((position - low) << SHIFT) / (high - low);
}

/** The value of a hyperparameter in native units, float64, at an axis coordinate. */
export function native(axis, position) {
  const number = float(position);
  if (axis.scale === 'log1m') return -Math.expm1(number * Math.LN10);
  return axis.scale === 'log' ? 10 ** number : number;
}
