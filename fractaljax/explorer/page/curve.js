/** The training curve: loss over steps, a logarithmic axis, drawn as SVG. */

import { draw } from './dom.js';

const [WIDTH, HEIGHT] = [300, 150];
const [LEFT, RIGHT, TOP, BOTTOM] = [38, 8, 8, 30];

/**
 * @param {{every: number, loss: (?number)[]}} curve null where the loss is not finite
 * @param {?number} diverged step at which it diverged, or null
 * @returns {SVGElement}
 */
export function curveOf({ every, loss }, diverged) {
  const last = Math.max((loss.length - 1) * every, 1);
  const x = (step) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const logs = loss.map((value) => (value > 0 ? Math.log10(value) : null));
  const known = logs.filter((v) => v !== null);
  const [low, high] = range(known);
  const y = (log) => TOP + ((high - log) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const summary = known.length
    ? `Loss from ${power(known[0])} to ${power(known.at(-1))} in ${last} steps`
    : 'No step had a finite loss';
  const picture = draw('svg', {
    class: 'curve',
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: 'img',
    'aria-label': summary,
  });
  for (const log of ticks(low, high)) {
    picture.append(
      draw('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(log), y2: y(log) }),
      label(LEFT - 5, y(log) + 3, 'end', power(log)),
    );
  }
  for (const step of [0, Math.round(last / 2), last]) {
    const anchor = step === 0 ? 'start' : step < last ? 'middle' : 'end';
    picture.append(label(x(step), HEIGHT - BOTTOM + 13, anchor, step));
  }
  picture.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, 'middle', 'step'));
  if (diverged !== null) {
    picture.append(
      draw('line', { class: 'diverged', x1: x(diverged), x2: x(diverged), y1: TOP, y2: HEIGHT - BOTTOM }),
    );
  }
  picture.append(draw('path', { class: 'loss', d: path(logs, (i) => x(i * every), y) }));
  return picture;
}

/** A path that breaks where the loss is not finite. */
function path(logs, x, y) {
  let pen = 'M';
  const parts = [];
  logs.forEach((log, i) => {
    if (log === null) {
      pen = 'M';
      return;
    }
    parts.push(`${pen}${x(i).toFixed(1)} ${y(log).toFixed(1)}`);
    pen = 'L';
  });
  return parts.join('');
}

function range(logs) {
  if (!logs.length) return [0, 1];
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const least = Math.max((0.3 - (high - low)) / 2, 0); // a flat curve is not blown up to noise
  return [low - least, high + least];
}

/** Whole powers of ten where there are some, else both ends. */
function ticks(low, high) {
  const every = Math.max(Math.ceil((high - low) / 5), 1);
  const found = [];
  for (let log = Math.ceil(low / every) * every; log <= high; log += every) found.push(log);
  return found.length > 1 ? found : [low, high];
}

function power(log) {
  const value = Number((10 ** log).toPrecision(2));
  if (log > -4 && log < 5) return String(value);
  return value.toExponential().replace('e+', 'e');
}

function label(x, y, anchor, text) {
  return draw('text', { x, y, 'text-anchor': anchor }, String(text));
}
