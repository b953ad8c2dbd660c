/** The settings panel: what is trained. Changes become a new map. */

import { json } from './api.js';
import { byId, make } from './dom.js';

const MAIN = {
  'model.activation': 'Activation',
  'model.width': 'Width',
  'model.depth': 'Depth',
  optimizer: 'Optimiser',
  'window.x': 'Across',
  'window.y': 'Upwards',
  steps: 'Steps',
  seed: 'Seed',
};
const AXES = ['window.x', 'window.y'];

export class Panel {
  /** @param {(map: object) => void} made called with the new map */
  constructor(made) {
    this.made = made;
    byId('settings').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#apply();
    });
  }

  /** Shows the settings of a map: those most looked for, and the others with a fixed choice. */
  show(map) {
    this.map = map;
    const { axes, ...words } = map.choices;
    const choices = { ...words, ...Object.fromEntries(AXES.map((path) => [path, axes])) };
    const main = Object.keys(MAIN).filter((path) => path in map.settings);
    const others = Object.keys(words).filter((path) => !(path in MAIN) && words[path].length > 1);
    this.fields = [...main, ...others].map((path) =>
      choices[path] ? choice(path, choices[path], map.settings[path]) : number(path, map.settings[path]),
    );
    const labels = this.fields.map(({ label }) => label);
    byId('fields').replaceChildren(...labels.slice(0, main.length));
    byId('more-fields').replaceChildren(...labels.slice(main.length));
    byId('other').value = '';
    this.#tell('');
  }

  async #apply() {
    const button = byId('apply');
    button.disabled = true;
    this.#tell('');
    try {
      const map = await json('/api/maps', { body: { settings: this.#changes(), base: this.map.id } });
      this.made(map);
    } catch (error) {
      this.#tell(error.message);
    }
    button.disabled = false;
  }

  /** Fields that differ from the map's, and the lines `path=value`. */
  #changes() {
    const found = {};
    for (const { path, value } of this.fields) {
      if (value() !== (this.map.settings[path] ?? null)) found[path] = value();
    }
    for (const line of byId('other').value.split('\n').filter((text) => text.trim())) {
      const at = line.indexOf('=');
      if (at < 1) throw new Error(`'${line.trim()}' is not path=value`);
      found[line.slice(0, at).trim()] = typed(line.slice(at + 1).trim());
    }
    return found;
  }

  #tell(error) {
    byId('settings-error').textContent = error;
    byId('settings-error').hidden = !error;
  }
}

/** A list to choose from; the words may be numbers, true, false or null. */
function choice(path, allowed, now) {
  const words = allowed.includes(now ?? null) ? allowed : [now, ...allowed];
  const options = words.map((word, i) => make('option', { value: i }, String(word ?? 'none')));
  const input = make('select', { name: path }, ...options);
  input.selectedIndex = words.indexOf(now ?? null);
  return { path, value: () => words[input.selectedIndex], label: labelled(path, input) };
}

function number(path, now) {
  const input = make('input', { name: path, type: 'number', step: 1, required: '' });
  input.min = path === 'seed' ? 0 : 1;
  input.value = now;
  return { path, value: () => Number(input.value), label: labelled(path, input) };
}

function labelled(path, input) {
  return make('label', { class: 'field' }, make('span', {}, MAIN[path] ?? path.replace('.', ' ')), input);
}

function typed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
