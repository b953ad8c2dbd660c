/** Renders: a box of the map trained at full resolution in the background. */

import { json, request } from './api.js';
import { byId, duration, make, say, short } from './dom.js';
import { coordinate, decimal, digitsAt } from './exact.js';

const KEY = 'fractaljax.renders';
const SMALLEST = 12; // pixels of the screen; a smaller drag is a slip
const MIDDLE = 0.8; // of the smaller side of the window, for a box from the keyboard

export class Renders {
  /**
   * @param {FractalMap} picture
   * @param {() => number} rate pixels trained a second, 0 if unknown
   * @param {() => void} panel opens the panel in which renders are listed
   */
  constructor(picture, rate, panel) {
    [this.picture, this.rate, this.panel] = [picture, rate, panel];
    this.box = byId('box');
    this.dialog = byId('render');
    this.selecting = false;
    this.#listen();
    for (const id of this.#ids()) this.#follow(id);
  }

  /** Turns the select tool on or off: then a drag draws a box instead of moving the map. */
  select(on) {
    this.selecting = on;
    byId('select').setAttribute('aria-pressed', String(on));
    document.body.classList.toggle('selecting', on);
    if (!on) this.#cancel();
  }

  /** Takes the square in the middle of the window: the tool without a pointer. */
  middle() {
    const { clientWidth: width, clientHeight: height } = this.picture.element;
    const side = MIDDLE * Math.min(width, height);
    this.start = { x: (width - side) / 2, y: (height - side) / 2 };
    this.#stretch({ x: this.start.x + side, y: this.start.y + side });
    this.#ask();
  }

  #listen() {
    const { viewer } = this.picture;
    viewer.addHandler('canvas-press', ({ position, originalEvent }) => {
      if (this.selecting || originalEvent.shiftKey) this.start = position;
    });
    viewer.addHandler('canvas-drag', (event) => {
      if (!this.start) return;
      event.preventDefaultAction = true;
      this.#stretch(event.position);
    });
    viewer.addHandler('canvas-drag-end', (event) => {
      if (!this.start) return;
      event.preventDefaultAction = true;
      this.#ask();
    });
    viewer.addHandler('canvas-release', () => {
      if (this.start && this.box.hidden) this.start = null; // a click, not a drag
    });
    viewer.addHandler('canvas-pinch', () => this.#cancel());
    this.dialog.addEventListener('close', () => this.#decided());
    for (const field of this.dialog.querySelectorAll('input[name=side]')) {
      field.addEventListener('change', () => this.#estimate());
    }
    byId('select').addEventListener('click', () => this.select(!this.selecting));
  }

  /** The box from where the drag began to here, made square. */
  #stretch({ x, y }) {
    const side = Math.max(Math.abs(x - this.start.x), Math.abs(y - this.start.y));
    const left = x < this.start.x ? this.start.x - side : this.start.x;
    const top = y < this.start.y ? this.start.y - side : this.start.y;
    this.square = { left, top, side };
    this.box.hidden = false;
    this.box.style.transform = `translate(${left}px, ${top}px)`;
    this.box.style.width = this.box.style.height = `${side}px`;
  }

  #cancel() {
    this.start = null;
    this.square = null;
    this.box.hidden = true;
  }

  #ask() {
    this.start = null;
    if (!this.square || this.square.side < SMALLEST) {
      this.#cancel();
      return;
    }
    const { left, top, side } = this.square;
    const low = this.picture.place({ x: left, y: top + side });
    const high = this.picture.place({ x: left + side, y: top });
    const { axes } = this.picture.map;
    const digits = digitsAt(this.picture.level() + 8);
    const ends = (name) => [low, high].map((at) => decimal(coordinate(axes[name], at[name]), digits));
    const { max_side: most } = this.picture.map;
    for (const input of this.dialog.querySelectorAll('input[name=side]')) {
      input.disabled = Number(input.value) > most;
    }
    this.window = { x: ends('x'), y: ends('y') };
    byId('render-x').textContent = `${axes.x.label} ${this.window.x.join(' to ')}`;
    byId('render-y').textContent = `${axes.y.label} ${this.window.y.join(' to ')}`;
    this.#estimate();
    this.dialog.returnValue = '';
    this.dialog.showModal();
  }

  #side() {
    return Number(this.dialog.querySelector('input[name=side]:checked').value);
  }

  #estimate() {
    const pixels = this.#side() ** 2;
    const rate = this.rate();
    byId('render-time').textContent = rate
      ? `${short(pixels)} networks, about ${duration(pixels / rate)}`
      : `${short(pixels)} networks`;
  }

  async #decided() {
    const agreed = this.dialog.returnValue === 'render';
    const side = this.#side();
    this.select(false);
    if (!agreed) return;
    try {
      const { id } = await json(`/api/maps/${this.picture.map.id}/renders`, {
        body: { ...this.window, side },
      });
      this.#remember([id, ...this.#ids()]);
      this.#follow(id);
      this.panel();
      byId('renders-section').open = true;
      byId('renders-section').scrollIntoView({ block: 'nearest' });
    } catch (error) {
      say(error.message);
    }
  }

  #ids() {
    try {
      const found = JSON.parse(sessionStorage.getItem(KEY));
      return Array.isArray(found) ? found : [];
    } catch {
      return [];
    }
  }

  #remember(ids) {
    sessionStorage.setItem(KEY, JSON.stringify(ids));
  }

  /** Shows a render and asks how it goes until it has ended. */
  async #follow(id) {
    const item = make('li', { class: 'job' });
    byId('renders').prepend(item);
    byId('no-renders').hidden = true;
    for (;;) {
      try {
        const job = await json(`/api/renders/${id}`);
        item.replaceChildren(...this.#shown(job));
        if (['done', 'failed', 'cancelled'].includes(job.state)) return;
      } catch (error) {
        if (error.status === 404) {
          item.remove();
          this.#remember(this.#ids().filter((other) => other !== id));
          byId('no-renders').hidden = byId('renders').children.length > 0;
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  #shown({ id, state, done, total, left_s: left, picture, folder, error }) {
    const side = Math.round(Math.sqrt(total));
    const title = make('span', { class: 'job-title' }, `${side}²`);
    if (state === 'done') {
      const link = make('a', { href: picture, target: '_blank', rel: 'noopener' }, 'open the picture');
      return [title, ' ', link, make('small', {}, folder ?? '')];
    }
    if (state === 'failed') return [title, make('span', { class: 'error' }, ` ${error}`)];
    if (state === 'cancelled') return [title, ' cancelled'];
    const time = left ? `, ${duration(left)} left` : '';
    const share = total ? Math.floor((100 * done) / total) : 0;
    const cancel = make('button', { type: 'button', class: 'quiet' }, 'Cancel');
    cancel.addEventListener('click', () =>
      request(`/api/renders/${id}`, { method: 'DELETE' }).catch(({ message }) => say(message)),
    );
    return [
      title,
      make('span', {}, state === 'waiting' ? ' waiting' : ` ${share} %${time}`),
      cancel,
      make('progress', { max: total || 1, value: done, 'aria-label': `Render ${side}²` }),
    ];
  }
}
