/** Rulers along the lower and the left edge: values of the axes in native units. */

import { byId, make, plain } from './dom.js';
import { ONE, coordinate, float, native } from './exact.js';

const APART = { x: 110, y: 64 }; // CSS pixels from tick to tick, at least
const TOOLS = 100; // CSS pixels at the top, where the tools lie
const LETTER = 7; // CSS pixels
const ARROW = { x: '→ ', y: '↑ ' };
const DECADE = 0.6; // log axes narrower than this are as good as linear

export class Rulers {
  constructor(picture) {
    this.picture = picture;
  }

  /** Draws both for the window as it is. */
  draw() {
    const { picture } = this;
    const { clientWidth: width, clientHeight: height } = picture.element;
    const [start, end] = [picture.place({ x: 0, y: height }), picture.place({ x: width, y: 0 })];
    const { x, y } = picture.map.axes;
    this.#ruler('x', x, start.x, end.x, width, (at) => `translateX(${at}px)`);
    this.#ruler('y', y, start.y, end.y, height, (at) => `translateY(${-at}px)`);
  }

  #ruler(name, axis, start, end, length, move) {
    const low = coordinate(axis, start);
    const span = float(coordinate(axis, end) - low);
    const count = Math.max(length / APART[name], 2);
    const [first, last] = [0n, ONE].map((end) => float(coordinate(axis, end) - low) / span);
    const room = ({ share, text }) => {
      const clear = name === 'x' ? 16 + LETTER * text.join('').length : TOOLS;
      return share > 0.03 && share * length < length - clear;
    };
    const inside = ({ share }) => share > first - 1e-9 && share < last + 1e-9;
    const marks = ticks(axis, low, span, count).filter((tick) => room(tick) && inside(tick));
    const elements = marks.map(({ share, text }) => {
      const [base, ...exponent] = text;
      const tick = make('span', { class: 'tick' }, base, ...exponent.map((e) => make('sup', {}, e)));
      tick.style.transform = move(share * length);
      return tick;
    });
    byId(`ruler-${name}`).replaceChildren(make('span', { class: 'axis' }, ARROW[name] + axis.label), ...elements);
  }
}

/** Ticks `{share of the window, [text, exponent?]}` of an axis from `low` over `span` axis coordinates,
 * which are negative on a log1m axis. */
function ticks(axis, low, span, count) {
  if (axis.scale === 'log' && span >= DECADE) return decades(float(low), span, count, written);
  if (axis.scale === 'log1m' && -span >= DECADE) {
    const mirrored = decades(float(low) + span, -span, count, belowOne);
    return mirrored.map(({ share, text }) => ({ share: 1 - share, text }));
  }
  const first = native(axis, low);
  const base = { log: first, log1m: first - 1 }[axis.scale];
  const width = base === undefined ? span : base * Math.expm1(span * Math.LN10);
  const step = nice(width / count);
  if (!(step > Math.abs(first) * 2 ** -50)) return []; // float64 has no numbers between
  const digits = Math.ceil(Math.log10(Math.max(Math.abs(first), Math.abs(first + width)) / step)) + 1;
  const found = [];
  for (let value = Math.ceil(first / step) * step; value < first + width; value += step) {
    const offset = value - first;
    const share = base === undefined ? offset / span : Math.log1p(offset / base) / (span * Math.LN10);
    found.push({ share, text: [plain(value, digits)] });
  }
  return found;
}

/** Whole powers of ten, and 2 and 5 times them where there is room, `written` as their texts. */
function decades(low, span, count, written) {
  const every = Math.max(Math.ceil(span / count), 1);
  const between = span / count < 0.4 ? [1, 2, 5] : [1];
  const found = [];
  for (let power = Math.floor(low); power <= low + span; power++) {
    if (power % every) continue;
    for (const digit of between) {
      found.push({ share: (power + Math.log10(digit) - low) / span, text: written(digit, power) });
    }
  }
  return found;
}

function written(digit, power) {
  if (power > -4 && power < 5) return [String(Number(`${digit}e${power}`))];
  return [digit > 1 ? `${digit}·10` : '10', String(power)];
}

/** One minus such a number. */
function belowOne(digit, power) {
  return [digit > 1 ? `1 − ${digit}·10` : '1 − 10', String(power)];
}

/** The next 1, 2 or 5 times a power of ten. */
function nice(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5].find((digit) => digit * power >= step) ?? 10);
}
