/** The explorer page: puts its parts together and keeps the link up to date. */

import { json } from './api.js';
import { read, viewOf, written } from './address.js';
import { bookmarks } from './bookmarks.js';
import { byId, copy, everyFrame, say, whenQuiet } from './dom.js';
import { Inspector } from './inspect.js';
import { keyboard } from './keys.js';
import { Look, decoded } from './look.js';
import { FractalMap } from './map.js';
import { Panel } from './panel.js';
import { Renders } from './render.js';
import { Rulers } from './rulers.js';
import { Status } from './status.js';
import { theme } from './theme.js';
import { Tiles } from './tiles.js';

const STEP = 0.2; // of the window, for a key
const DOUBLE = 260; // milliseconds in which a second click makes a double click

class Explorer {
  /** Opens what the link asks for, or the map the command was started with. */
  async start() {
    theme(byId('theme'));
    const [palettes, { map }] = await Promise.all([json('/api/palettes'), json('/api/start')]);
    this.first = map;
    this.tiles = new Tiles((error) => this.status?.trouble(error));
    this.picture = new FractalMap(byId('map'), this.tiles);
    this.inspector = new Inspector(this.picture, () => this.#remember());
    this.look = new Look(
      decoded(palettes),
      (look) => {
        this.picture.dress(look);
        this.#remember();
      },
      (reading) => this.#show(this.picture.map, reading, this.picture.view()),
    );
    this.rulers = new Rulers(this.picture);
    this.panel = new Panel((made) => this.#begin(made));
    await this.#follow(location.hash);
    this.status = new Status(this.picture, this.tiles);
    this.renders = new Renders(this.picture, () => this.status.rate, () => this.#panel(true));
    bookmarks(
      () => ({ name: this.#name(), hash: this.#hash() }),
      (hash) => this.#visit(hash),
    );
    this.#listen();
    this.#drawn();
    this.#panel(this.#wide());
    document.body.classList.add('ready');
  }

  /** Goes to a link as the back button would undo it. */
  async #visit(hash) {
    history.pushState(null, '', hash);
    await this.#follow(hash);
  }

  /** Shows what a link asks for. */
  async #follow(hash) {
    const link = read(hash);
    const map = await this.#map(link);
    this.look.set(link);
    const reading = map.readings.includes(link.reading) ? link.reading : map.shown;
    await this.#show(map, reading, viewOf(map, link));
    if (link.point) this.inspector.open(link.point);
    else this.inspector.close();
  }

  /** The map of a link; made again from its settings where the server does not know it. */
  async #map({ id, settings }) {
    const present = this.picture.map;
    if (!id || id === this.first.id) return this.first;
    if (id === present?.id) return present;
    try {
      return await json(`/api/maps/${encodeURIComponent(id)}`).catch((error) => {
        if (error.status !== 404 || !settings) throw error;
        return json('/api/maps', { body: { settings, base: this.first.id } });
      });
    } catch (error) {
      say(`${error.message}; this is ${this.first.title}`);
      return this.first;
    }
  }

  /** Begins a new map with its whole extent. */
  async #begin(map) {
    history.pushState(null, '', location.hash);
    this.inspector.close();
    await this.#show(map, map.shown, viewOf(map, {}));
    this.#remember();
  }

  async #show(map, reading, view) {
    byId('title').textContent = map.title;
    document.title = `${map.title} · fractaljax`;
    if (this.panel.map !== map) this.panel.show(map);
    this.look.offer(map, reading);
    await this.picture.show(map, reading, view);
  }

  #listen() {
    const { picture } = this;
    const draw = everyFrame(() => this.#drawn());
    const remember = whenQuiet(250, () => this.#write());
    this.write = remember;
    picture.on('view', draw);
    picture.on('settled', remember);
    this.#clicks();
    window.addEventListener('popstate', () => this.#follow(location.hash));
    byId('zoom-in').addEventListener('click', () => picture.zoom(2));
    byId('zoom-out').addEventListener('click', () => picture.zoom(0.5));
    byId('home').addEventListener('click', () => this.#home());
    byId('copy-link').addEventListener('click', () => this.#share());
    byId('help-open').addEventListener('click', () => byId('help').showModal());
    byId('panel-toggle').addEventListener('click', () => this.#panel());
    keyboard({
      ArrowLeft: () => picture.pan(-STEP, 0),
      ArrowRight: () => picture.pan(STEP, 0),
      ArrowUp: () => picture.pan(0, STEP),
      ArrowDown: () => picture.pan(0, -STEP),
      a: () => picture.pan(-STEP, 0),
      d: () => picture.pan(STEP, 0),
      w: () => picture.pan(0, STEP),
      s: () => picture.pan(0, -STEP),
      '+': () => picture.zoom(2),
      '=': () => picture.zoom(2),
      '-': () => picture.zoom(0.5),
      0: () => this.#home(),
      Enter: () => (this.renders.selecting ? this.renders.middle() : this.#inspect(picture.view())),
      b: () => this.renders.select(!this.renders.selecting),
      l: () => this.#share(),
      p: () => say(`Palette ${this.look.next()}`),
      '?': () => byId('help').showModal(),
      Escape: () => this.#escape(),
    });
  }

  /** A click inspects, a double click zooms. */
  #clicks() {
    const { viewer } = this.picture;
    let waiting;
    viewer.addHandler('canvas-click', ({ quick, position, originalEvent }) => {
      clearTimeout(waiting);
      if (!quick || originalEvent.shiftKey || this.renders.selecting) return;
      const place = this.picture.place(position);
      waiting = setTimeout(() => this.#inspect(place), DOUBLE);
    });
    viewer.addHandler('canvas-double-click', () => clearTimeout(waiting));
  }

  #inspect(place) {
    if (!this.#wide()) this.#panel(false); // one sheet at a time
    this.inspector.inspect(place);
  }

  #wide() {
    return matchMedia('(min-width: 701px)').matches;
  }

  #drawn() {
    this.status?.view();
    this.rulers.draw();
    this.inspector.place();
  }

  async #home() {
    this.#write();
    history.pushState(null, '', location.hash);
    await this.picture.go({ ...viewOf(this.picture.map, {}) }, { immediately: false });
  }

  #share() {
    this.#write();
    copy(location.href).then(() => say('Link copied'));
  }

  #panel(open = !document.body.classList.contains('panel-open')) {
    document.body.classList.toggle('panel-open', open);
    byId('panel-toggle').setAttribute('aria-expanded', String(open));
  }

  /** Closes one thing: the tool, the inspector, the panel. */
  #escape() {
    if (this.renders.selecting) this.renders.select(false);
    else if (this.inspector.point) this.inspector.close();
    else if (document.body.classList.contains('panel-open')) this.#panel();
  }

  #remember() {
    this.write?.();
  }

  #write() {
    history.replaceState(null, '', this.#hash());
  }

  #hash() {
    const { map, reading } = this.picture;
    const view = this.picture.view({ target: true });
    return written({ map, view, reading, look: this.look.now, point: this.inspector.point });
  }

  #name() {
    return `${this.picture.map.title}, zoom 2^${this.picture.view().z.toFixed(1)}`;
  }
}

const explorer = new Explorer();
window.explorer = explorer; // for the console and for tests
explorer.start().catch((error) => {
  byId('banner').textContent = `${error.message}. Reload the page to try again.`;
  byId('banner').hidden = false;
  throw error;
});
