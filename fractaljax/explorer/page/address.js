/**
 * The link: everything that is seen, in the part of the address after `#`.
 *
 * `m` map, `s.PATH` its settings (so that another machine can make it again), `x`, `y` the middle
 * in axis coordinates, `z` the depth, `r` reading, `c` palette, `t` stretch, `g` gap, `d` detail,
 * `p` the point inspected. Positions are decimal strings of as many digits as the depth needs.
 */

import { coordinate, decimal, digitsAt, fixed, fractionAt } from './exact.js';

const SETTING = 's.';
const PIXELS = 14; // binary digits for a place within the window: a sixteenth of a pixel

/** What the link says about a state of the page. */
export function written({ map, view, reading, look, point }) {
  const query = new URLSearchParams();
  query.set('m', map.id);
  const digits = digitsAt(view.z + PIXELS);
  query.set('x', decimal(coordinate(map.axes.x, view.x), digits));
  query.set('y', decimal(coordinate(map.axes.y, view.y), digits));
  query.set('z', view.z.toFixed(4));
  query.set('r', reading);
  query.set('c', look.palette);
  query.set('t', look.stretch);
  query.set('g', String(look.gap));
  query.set('d', String(look.detail));
  if (point) query.set('p', `${point.level},${point.x},${point.y}`);
  for (const [path, value] of Object.entries(map.settings)) {
    query.set(SETTING + path, text(value));
  }
  return `#${query}`;
}

/** What a link asks for; what it leaves out or spoils is undefined. */
export function read(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ''));
  const settings = {};
  for (const [name, text] of query) {
    if (name.startsWith(SETTING)) settings[name.slice(SETTING.length)] = value(text);
  }
  const get = (name) => query.get(name) ?? undefined;
  return {
    id: get('m'),
    settings: Object.keys(settings).length ? settings : undefined,
    x: get('x'),
    y: get('y'),
    z: number(get('z')),
    reading: get('r'),
    palette: get('c'),
    stretch: get('t'),
    gap: number(get('g')),
    detail: number(get('d')),
    point: point(get('p')),
  };
}

/** The view that a link asks for on a map; all of the map where it does not say. */
export function viewOf(map, { x, y, z }) {
  const middle = 1n << 191n;
  const at = (axis, text) => {
    try {
      return text === undefined ? middle : fractionAt(axis, fixed(text));
    } catch {
      return middle;
    }
  };
  return { x: at(map.axes.x, x), y: at(map.axes.y, y), z: z ?? 0 };
}

/** A setting as it is written by hand: words without quotes, unless they look like something else. */
function text(setting) {
  const bare = typeof setting === 'string' && setting && value(setting) === setting;
  return bare ? setting : JSON.stringify(setting);
}

function value(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function number(text) {
  const found = Number.parseFloat(text);
  return Number.isFinite(found) ? found : undefined;
}

function point(text) {
  const match = /^(\d{1,2}),(-?\d{1,20}(?:\.\d{0,120})?),(-?\d{1,20}(?:\.\d{0,120})?)$/.exec(text ?? '');
  return match ? { level: Number(match[1]), x: match[2], y: match[3] } : undefined;
}
