/** The inspector: one pixel, its hyperparameters, verdict and training curve. */

import { json } from './api.js';
import { curveOf } from './curve.js';
import { byId, copy, make, plain, say, swatch } from './dom.js';
import { ONE, coordinate, decimal, digitsAt, fixed, float, fractionAt } from './exact.js';

const WINDOW = 256; // samples of the command line's window around the pixel

export class Inspector {
  /**
   * @param {FractalMap} picture
   * @param {() => void} changed called when another point, or none, is inspected
   */
  constructor(picture, changed) {
    [this.picture, this.changed] = [picture, changed];
    this.card = byId('inspector');
    this.marker = byId('marker');
    this.point = null;
    byId('inspector-close').addEventListener('click', () => this.close());
  }

  /** Inspects the sample shown at a place of the map. */
  inspect(place) {
    const { picture } = this;
    const found = picture.sample(place);
    if (!found) {
      this.close();
      return;
    }
    const { axes } = picture.map;
    const digits = digitsAt(found.level) + 24; // exact for the sample: no second rounding
    this.open({
      level: found.level,
      x: decimal(coordinate(axes.x, found.x), digits).replace(/0+$/, '0'),
      y: decimal(coordinate(axes.y, found.y), digits).replace(/0+$/, '0'),
    });
  }

  /** Opens the card for a point `{level, x, y}`, axis coordinates as decimal strings. */
  async open(point) {
    this.abort?.abort();
    this.abort = new AbortController();
    this.point = point;
    this.card.hidden = false;
    this.card.classList.add('busy');
    this.place();
    this.changed();
    const { map } = this.picture;
    try {
      const answer = await json(
        `/api/maps/${map.id}/point?x=${point.x}&y=${point.y}&level=${point.level}`,
        { signal: this.abort.signal },
      );
      this.#show(answer, point, map);
    } catch (error) {
      if (error.name === 'AbortError') return;
      byId('inspected').replaceChildren(make('p', { class: 'error', role: 'alert' }, error.message));
    }
    this.card.classList.remove('busy');
  }

  close() {
    if (!this.point) return;
    this.abort?.abort();
    this.point = null;
    this.card.hidden = true;
    this.place();
    this.changed();
  }

  /** Puts the marker where the pixel is now. */
  place() {
    this.marker.hidden = !this.point;
    if (!this.point) return;
    const { axes } = this.picture.map;
    const half = 1n << BigInt(191 - this.point.level); // the middle of the pixel
    const { x, y } = this.picture.pixel({
      x: fractionAt(axes.x, fixed(this.point.x)) + half,
      y: fractionAt(axes.y, fixed(this.point.y)) + half,
    });
    this.marker.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** On a phone the card comes from below: moves the map where it would hide the pixel. */
  #uncover() {
    const [card, marker] = [this.card, this.marker].map((element) => element.getBoundingClientRect());
    const sheet = card.left <= 0;
    if (!sheet || marker.bottom < card.top) return;
    const { clientHeight: height } = this.picture.element;
    this.picture.pan(0, (card.top * 0.6 - marker.top) / height);
  }

  #show({ values, readings, curve }, point, map) {
    const facts = make('dl', { class: 'facts' });
    const add = (name, ...value) => facts.append(make('dt', {}, name), make('dd', {}, ...value));
    for (const [path, value] of Object.entries(values)) add(path, plain(value, 17));
    const { status, diverged_at: diverged, ...others } = readings;
    const colours = Object.fromEntries(map.status);
    if (status !== undefined) add('status', swatch(colours[status]), status);
    for (const [name, value] of Object.entries(others)) {
      if (typeof value === 'number') add(name, plain(value, 6));
      else if (value === null) add(name, 'not finite');
    }
    const step = diverged >= 0 ? diverged : null;
    if (diverged !== undefined) add('diverged', step === null ? 'no' : `at step ${step}`);
    const parts = [facts];
    if (curve) {
      parts.push(make('h3', {}, 'Training loss'), curveOf(curve, step));
    }
    const command = commandLine(map, point);
    const button = make('button', { type: 'button', class: 'quiet' }, 'Copy');
    button.addEventListener('click', () => copy(command).then(() => say('Command copied')));
    parts.push(make('h3', {}, 'Scan around it', button), make('code', { class: 'command' }, command));
    byId('inspected').replaceChildren(...parts);
    this.#uncover();
  }
}

/** The command that scans the surroundings of a point, as wide as they look in the window. */
function commandLine(map, { level, x, y }) {
  const ends = [
    [map.axes.x, fixed(x)],
    [map.axes.y, fixed(y)],
  ].flatMap(([axis, middle]) => {
    const half = (coordinate(axis, ONE) - coordinate(axis, 0n)) * BigInt(WINDOW / 2) >> BigInt(level);
    return [middle - half, middle + half].map((end) => plain(float(end), 17));
  });
  const bare = /^[\w./-]+$/.test(map.config); // else quoted for the shell
  const config = bare ? map.config : `'${map.config.replaceAll("'", "'\\''")}'`;
  return `fractaljax scan ${config} --window ${ends.join(' ')} --resolution ${WINDOW}`;
}
