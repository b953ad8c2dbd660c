/** The bar at the bottom, the notice of the precision floor, and the banner of a lost server. */

import { json } from './api.js';
import { byId, plain, short } from './dom.js';
import { coordinate, native } from './exact.js';

const NEAR = 6; // levels above the floor from which it is announced
const LOG2 = Math.LOG10E * Math.LN2;

export class Status {
  /**
   * @param {FractalMap} picture
   * @param {Tiles} tiles
   */
  constructor(picture, tiles) {
    [this.picture, this.tiles] = [picture, tiles];
    this.rate = 0;
    this.#poll();
  }

  /** Where the window is. */
  view() {
    const { picture } = this;
    const { axes, floor_level: floor } = picture.map;
    const view = picture.view();
    const level = picture.level();
    const digits = Math.ceil((view.z + 10) * LOG2) + 1;
    for (const name of ['x', 'y']) {
      const value = native(axes[name], coordinate(axes[name], view[name]));
      byId(`at-${name}`).replaceChildren(label(axes[name].label), ` ${plain(value, digits)}`);
    }
    byId('zoom').replaceChildren(label('zoom'), ' 2', power(view.z.toFixed(1)));
    byId('level').textContent = `level ${level} of ${floor}`;
    byId('depth').max = floor;
    byId('depth').value = level;
    this.#floor(level, floor);
  }

  /** Tells of a server that does not answer or fails; null: all is well. */
  trouble(error) {
    const banner = byId('banner');
    banner.hidden = !error;
    if (!error) return;
    const lost = !error.status;
    banner.textContent = lost ? 'The server does not answer. Trying again…' : error.message;
  }

  #floor(level, floor) {
    const notice = byId('floor');
    notice.hidden = level < floor - NEAR;
    if (notice.hidden) return;
    const { dtype } = this.picture.map;
    const left = floor - level;
    notice.classList.toggle('reached', left === 0);
    notice.replaceChildren(
      ...(left
        ? [`${left} level${left > 1 ? 's' : ''} above the precision floor at 2`, power(floor)]
        : ['Precision floor at 2', power(floor), `: beyond, neighbours are the same ${dtype} number`]),
    );
  }

  async #poll() {
    for (;;) {
      if (!document.hidden) await this.#ask();
      await new Promise((resolve) => setTimeout(resolve, this.tiles.waiting ? 700 : 2500));
    }
  }

  async #ask() {
    try {
      const { queue, training, compiling, rate, trained } = await json('/api/status');
      if (rate) this.rate = rate;
      document.body.classList.toggle('training', training || this.tiles.waiting > 0);
      const parts = compiling ? ['compiling the training program'] : [];
      if (training && rate) parts.push(`${short(rate)} networks/s`);
      const { waiting } = this.tiles;
      if (waiting) parts.push(waiting === 1 ? 'a tile to go' : `${waiting} tiles to go`);
      else if (queue) parts.push(`${queue} in the queue`); // a render, or other pages
      parts.push(`${short(trained)} trained`);
      byId('work').textContent = parts.join(' · ');
      if (this.lost) this.trouble(null);
      this.lost = false;
    } catch (error) {
      this.lost = true;
      this.trouble(error);
    }
  }
}

function power(exponent) {
  const element = document.createElement('sup');
  element.textContent = exponent;
  return element;
}

function label(text) {
  const element = document.createElement('span');
  element.className = 'name';
  element.textContent = text;
  return element;
}
