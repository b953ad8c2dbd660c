/** The colour panel: reading, palette, stretch, gap. Nothing here asks the server for anything. */

import { STRETCHES, turned } from './colour.js';
import { byId, make, swatch } from './dom.js';

const STRETCH_NAMES = { rank: 'Rank', log: 'Log', linear: 'Linear' };
const DETAILS = [0.5, 1, 2, 4]; // screen pixels a sample has at least, as in index.html

export class Look {
  /**
   * @param {Object<string, Uint8Array>} palettes tables of 256 colours by name
   * @param {(look: object) => void} changed called with what the picture has to wear
   * @param {(reading: string) => void} read called when another reading is wanted
   */
  constructor(palettes, changed, read) {
    [this.palettes, this.changed] = [palettes, changed];
    this.now = { palette: 'Spectral', stretch: 'rank', gap: 0.25, locked: false, detail: 1 };
    this.#build(read);
    this.set({});
  }

  /** Takes over what is known and valid of `{palette, stretch, gap, locked, detail}`. */
  set(look) {
    const next = { ...this.now };
    if (Object.hasOwn(this.palettes, look.palette)) next.palette = look.palette;
    if (STRETCHES.includes(look.stretch)) next.stretch = look.stretch;
    if (look.gap >= 0 && look.gap <= 0.5) next.gap = look.gap;
    if (typeof look.locked === 'boolean') next.locked = look.locked;
    if (DETAILS.includes(look.detail)) next.detail = look.detail;
    this.now = next;
    for (const input of byId('palettes').querySelectorAll('input')) {
      input.checked = input.value === next.palette;
    }
    byId('stretch').value = next.stretch;
    byId('gap').value = next.gap;
    byId('gap-value').textContent = next.gap.toFixed(2);
    byId('locked').checked = next.locked;
    byId('detail').value = String(next.detail);
    this.changed({ ...next, table: turned(this.palettes[next.palette]) });
  }

  /** The palette after this one. */
  next() {
    const names = Object.keys(this.palettes);
    this.set({ palette: names[(names.indexOf(this.now.palette) + 1) % names.length] });
    return this.now.palette;
  }

  /** Offers the readings of a map. */
  offer({ readings, status }, shown) {
    const options = readings.map((name) => make('option', { value: name }, name.replace('_', ' ')));
    byId('reading').replaceChildren(...options);
    byId('reading').value = shown;
    const fixed = shown === 'status';
    byId('stretching').hidden = fixed;
    byId('status-legend').hidden = !fixed;
    const meanings = status.map(([name, colour]) => make('li', {}, swatch(colour), name));
    byId('status-legend').replaceChildren(...meanings);
  }

  #build(read) {
    const swatches = Object.entries(this.palettes).map(([name, table]) =>
      make(
        'label',
        { class: 'palette', title: name },
        make('input', {
          type: 'radio',
          name: 'palette',
          value: name,
          onchange: () => this.set({ palette: name }),
        }),
        strip(table),
        make('span', {}, name),
      ),
    );
    byId('palettes').append(...swatches);
    const names = STRETCHES.map((name) => make('option', { value: name }, STRETCH_NAMES[name]));
    byId('stretch').append(...names);
    const on = (id, event, take) =>
      byId(id).addEventListener(event, ({ target }) => this.set(take(target)));
    on('stretch', 'change', ({ value }) => ({ stretch: value }));
    on('gap', 'input', ({ value }) => ({ gap: Number(value) }));
    on('locked', 'change', ({ checked }) => ({ locked: checked }));
    on('detail', 'change', ({ value }) => ({ detail: Number(value) }));
    byId('reading').addEventListener('change', ({ target }) => read(target.value));
  }
}

/** A palette as a picture one pixel high. */
function strip(table) {
  const canvas = make('canvas', { width: 256, height: 1, 'aria-hidden': 'true' });
  const context = canvas.getContext('2d');
  const image = context.createImageData(256, 1);
  for (let i = 0; i < 256; i++) {
    image.data.set(table.subarray(3 * i, 3 * i + 3), 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Tables as the server sends them, base64, to bytes. */
export function decoded(palettes) {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return Object.fromEntries(Object.entries(palettes).map(([name, text]) => [name, bytes(text)]));
}
