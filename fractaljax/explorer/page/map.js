/**
 * The picture of the map: an OpenSeadragon viewer over tiles of values.
 *
 * A view is `{x, y, z}`: the exact fractions of the map's side at the middle of the window, and
 * how deep it is, the smaller side of the window being 2^-z of the map.
 */

import { Scale, edges, isSigned, mixed } from './colour.js';
import { ONE, shifted } from './exact.js';
import { Root } from './root.js';

const BITS = ONE.toString(2).length - 1;
const GRID = 160; // the stretch is balanced for the values at 160 x 160 places of the window
const BLEND = [0.35, 0.6, 1]; // steps from one balance to the next
const AHEAD = { in: 3, out: 10 }; // levels a new root looks ahead to where a zoom is going
const FEWEST = 3; // the deepest view has 2^3 samples of the precision floor a side

export class FractalMap {
  /**
   * @param {HTMLElement} element where the picture goes
   * @param {Tiles} tiles
   */
  constructor(element, tiles) {
    this.element = element;
    this.tiles = tiles;
    this.root = Root.home;
    this.painted = new WeakMap(); // canvas context -> {values, scale}
    this.events = new EventTarget();
    this.look = { table: null, stretch: 'rank', gap: 0.25, locked: false, detail: 1 };
    this.viewer = this.#open(element);
  }

  /** Calls back on `view` (moved, or more is seen) and `settled` (stopped moving). */
  on(name, callback) {
    this.events.addEventListener(name, (event) => callback(event.detail));
  }

  /** Shows a reading of a map at a view. */
  async show(map, reading, view) {
    if (map.id === this.map?.id && reading === this.reading) {
      await this.go(view);
      return;
    }
    this.map = map;
    this.reading = reading;
    this.edges = null;
    const within = this.#within(view);
    await this.#stand(Root.around(within), within);
  }

  /** Changes how values become colours, at once: `{table, stretch, gap, locked, detail}`. */
  dress(look) {
    const before = this.look;
    this.look = { ...before, ...look };
    if (this.look.detail !== before.detail && this.image) {
      this.image.minPixelRatio = this.#pixelRatio();
      this.image.redraw();
    }
    if (!this.map) return;
    const again = ['stretch', 'gap'].some((name) => this.look[name] !== before[name]);
    if (again || (before.locked && !this.look.locked)) this.balance({ jump: true });
    this.#colour();
  }

  /** The view in the window now, or the one it moves to. */
  view({ target = false } = {}) {
    const { viewport } = this.viewer;
    const bounds = viewport.getBounds(!target);
    const middle = this.root.place(bounds.x + bounds.width / 2, bounds.y + bounds.height / 2);
    return { ...middle, z: this.root.depth - Math.log2(Math.min(bounds.width, bounds.height)) };
  }

  /** Moves to a view; across roots, or if it is far, without the way between. */
  async go(wanted, { immediately = true } = {}) {
    const view = this.#within(wanted);
    const root = this.root.leaves(view) ? Root.around(view) : this.root;
    if (root.equals(this.root)) this.#fit(view, immediately);
    else await this.#stand(root, view);
  }

  /** Zooms by a factor about the middle. */
  zoom(factor) {
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  /** Pans by parts of the window: right and up are positive. */
  pan(right, up) {
    const bounds = this.viewer.viewport.getBounds();
    const by = new OpenSeadragon.Point(right * bounds.width, -up * bounds.height);
    this.viewer.viewport.panBy(by);
    this.viewer.viewport.applyConstraints();
  }

  /** The place of the map under a point of the picture, in CSS pixels. */
  place(pixel) {
    const at = this.viewer.viewport.pointFromPixel(new OpenSeadragon.Point(pixel.x, pixel.y), true);
    return this.root.place(at.x, at.y);
  }

  /** Where a place of the map is in the picture, in CSS pixels. */
  pixel(place) {
    return this.viewer.viewport.pixelFromPoint(new OpenSeadragon.Point(...this.root.local(place)), true);
  }

  /** The finest level asked for in this view, of the whole map. */
  level() {
    return Math.min(this.#finest(true) + this.root.depth, this.map.floor_level);
  }

  /**
   * The sample that is shown at a place: `{level, x, y, value}`, x and y its exact fractions;
   * null outside the map or where nothing is loaded.
   */
  sample(place) {
    const inside = (at) => at >= 0n && at < ONE;
    if (!this.image || !inside(place.x) || !inside(place.y)) return null;
    let found = null;
    for (const { tile, entry } of this.#drawn()) {
      const { level, x, y } = this.root.address(tile.level, tile.x, tile.y);
      if (found && found.level > level) continue;
      const n = Math.sqrt(entry.values.length);
      const [column, row] = [shifted(place.x, level - BITS), shifted(place.y, level - BITS)];
      const [i, j] = [Number(column - x * BigInt(n)), Number(row - y * BigInt(n))];
      if (i < 0 || j < 0 || i >= n || j >= n) continue;
      const corner = (index) => shifted(index, BITS - level);
      found = { level, x: corner(column), y: corner(row), value: entry.values[j * n + i] };
    }
    return found;
  }

  /** Balances the stretch for what is in the window now. */
  balance({ jump = false } = {}) {
    clearTimeout(this.balancing);
    if (!this.image || (this.look.locked && this.edges && !jump)) return;
    if (!this.#drawn().length) {
      this.balancing = setTimeout(() => this.balance({ jump }), 60); // the first tile is on its way
      return;
    }
    const values = this.#reference();
    const signed = isSigned(this.reading, values);
    const next = edges(values, this.look.stretch, signed, this.look.gap);
    const before = this.edges;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.#blend(before, next, jump || !before || calm ? [1] : BLEND);
  }

  #open(element) {
    const viewer = OpenSeadragon({
      element,
      drawer: 'canvas', // crisp pixels and our own colours; WebGL would only copy them
      showNavigationControl: false,
      keyboardNavEnabled: false,
      imageLoaderLimit: 0, // order and number of requests are ours, see tiles.js
      timeout: 86_400_000,
      maxTilesPerFrame: 64,
      maxImageCacheCount: 1500,
      imageSmoothingEnabled: false,
      minPixelRatio: this.#pixelRatio(),
      minZoomImageRatio: 0.7,
      maxZoomPixelRatio: Infinity,
      visibilityRatio: 0.4,
      preserveViewport: true,
      animationTime: 0.5,
      springStiffness: 8,
      zoomPerScroll: 1.3,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
    });
    viewer.addHandler('tile-drawing', ({ rendered }) => this.#repaint(rendered));
    viewer.addHandler('animation', () => this.#moved());
    viewer.addHandler('animation-finish', () => this.#settled());
    viewer.addHandler('resize', () => this.#tell('view'));
    return viewer;
  }

  #pixelRatio() {
    return this.look.detail * OpenSeadragon.pixelDensityRatio;
  }

  /**
   * Puts the pyramid on a root and the window on a view, without a blank moment; an animation
   * goes on to its target.
   */
  #stand(root, view, target = null) {
    const { viewer } = this;
    const before = this.image;
    const ticket = (this.ticket = Symbol('root'));
    this.tiles.drop(() => false);
    return new Promise((resolve, reject) => {
      viewer.addTiledImage({
        tileSource: this.#source(root),
        error: ({ message }) => reject(new Error(message)),
        success: ({ item }) => {
          if (ticket !== this.ticket) {
            viewer.world.removeItem(item);
            resolve();
            return;
          }
          const curtain = target && this.#curtain();
          if (before) viewer.world.removeItem(before);
          [this.root, this.image] = [root, item];
          item.minPixelRatio = this.#pixelRatio();
          this.#limits();
          this.#fit(view, true);
          if (target && target.z !== view.z) this.#fit(target, false);
          item.addHandler('fully-loaded-change', () => this.#loaded());
          curtain?.();
          this.#moved();
          this.#settled();
          resolve();
        },
      });
    });
  }

  /** The nearest view that there is: its middle on the map, no deeper than makes sense. */
  #within({ x, y, z }) {
    const inside = (at) => (at < 0n ? 0n : at >= ONE ? ONE - 1n : at);
    const depth = Math.min(Math.max(z, -1), this.map.floor_level - FEWEST);
    return { x: inside(x), y: inside(y), z: depth };
  }

  /** How far one may zoom and pan within this root. */
  #limits() {
    const { viewport } = this.viewer;
    const bottom = this.map.floor_level - FEWEST - this.root.depth;
    viewport.maxZoomLevel = 2 ** bottom / Math.max(viewport.getAspectRatio(), 1);
    viewport.visibilityRatio = this.root.depth ? 0 : 0.4;
    viewport.minZoomLevel = this.root.depth ? 1e-9 : null; // a wide view gets another root
  }

  #fit(view, immediately) {
    const { viewport } = this.viewer;
    const aspect = viewport.getAspectRatio();
    const side = 2 ** (this.root.depth - view.z);
    const [x, y] = this.root.local(view);
    viewport.zoomTo(1 / (side * Math.max(aspect, 1)), null, immediately);
    viewport.panTo(new OpenSeadragon.Point(x, y), immediately);
    if (immediately) this.#tell('view');
  }

  /** A still of the picture over the new root until it has loaded; returns what lifts it. */
  #curtain() {
    const still = document.createElement('canvas');
    const { canvas } = this.viewer.drawer;
    [still.width, still.height] = [canvas.width, canvas.height];
    still.getContext('2d').drawImage(canvas, 0, 0);
    still.className = 'curtain';
    this.element.append(still);
    return () => setTimeout(() => still.remove(), 160);
  }

  /** The tile source over a root. */
  #source(root) {
    const [minLevel, maxLevel] = root.levels(this.map);
    const side = 2 ** maxLevel;
    const folder = `/api/maps/${this.map.id}/tiles`;
    const url = ({ level, x, y }) =>
      `${folder}/${level}/${x}/${y}?reading=${encodeURIComponent(this.reading)}`;
    return new OpenSeadragon.TileSource({
      width: side,
      height: side,
      tileSize: this.map.tile,
      minLevel,
      maxLevel,
      getTileUrl: (level, column, row) => url(root.address(level, column, row)),
      getClosestLevel: () => minLevel, // the coarsest level comes first, whatever its size
      downloadTileStart: (job) => this.#download(job),
      downloadTileAbort: () => {}, // see `drop` in tiles.js
    });
  }

  #download(job) {
    const { tile } = job;
    const done = (values) => job.finish(this.#canvas(values), null, 'context2d');
    const values = this.tiles.values(job.src);
    if (values) {
      done(values);
      return;
    }
    const withdraw = () => {
      // As if it had never been asked for: `job.fail` would mark the tile as missing for ever.
      clearTimeout(job.jobId);
      job.jobId = null;
      tile.loading = false;
    };
    this.tiles.want({
      url: job.src,
      tile,
      order: () => this.#order(tile),
      done: (found) => {
        done(found);
        this.#loaded();
      },
      none: (reason) => {
        withdraw();
        tile.exists = reason !== 'refused';
      },
    });
  }

  /** Coarse tiles first, then those nearest the middle of the window. */
  #order(tile) {
    const bounds = this.viewer.viewport.getBounds(false);
    const middle = bounds.getCenter();
    const distance = tile.bounds.getCenter().distanceTo(middle) / (bounds.width + bounds.height);
    return tile.level + Math.min(distance, 0.99);
  }

  #canvas(values) {
    const n = Math.round(Math.sqrt(values.length));
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [n, n];
    const context = canvas.getContext('2d');
    this.painted.set(context, { values, scale: null });
    return context;
  }

  #repaint(context) {
    const entry = this.painted.get(context);
    if (!entry || entry.scale === this.scale || !this.scale) return;
    this.scale.paint(entry.values, context);
    entry.scale = this.scale;
  }

  /** Level of the pyramid whose samples are at least so many screen pixels as wanted. */
  #finest(current) {
    const { viewport } = this.viewer;
    const pixels = this.element.clientWidth * OpenSeadragon.pixelDensityRatio;
    const ratio = pixels * viewport.getZoom(current);
    const [first, last] = this.root.levels(this.map);
    return Math.max(Math.min(Math.floor(Math.log2(ratio / this.#pixelRatio())), last), first);
  }

  /** Tiles in the window, with their values, the coarse ones first. */
  #drawn() {
    return this.image
      .getTilesToDraw()
      .map(({ tile }) => ({ tile, entry: this.painted.get(tile.getCache()?.data) }))
      .filter(({ entry }) => entry)
      .sort((a, b) => a.tile.level - b.tile.level);
  }

  /** The values in the window, each weighed by the area it fills, without NaN. */
  #reference() {
    const bounds = this.viewer.viewport.getBounds(false);
    const grid = new Float64Array(GRID * GRID).fill(NaN);
    for (const { tile, entry } of this.#drawn()) {
      const n = Math.sqrt(entry.values.length);
      const { x, y, width } = tile.bounds;
      const range = (from, start, size) => [
        Math.max(Math.ceil(((from - start) / size) * GRID - 0.5), 0),
        Math.min(Math.ceil(((from + width - start) / size) * GRID - 0.5), GRID),
      ];
      const [left, right] = range(x, bounds.x, bounds.width);
      const [top, bottom] = range(y, bounds.y, bounds.height);
      for (let row = top; row < bottom; row++) {
        const down = (bounds.y + ((row + 0.5) / GRID) * bounds.height - y) / width;
        const line = (n - 1 - Math.min(Math.max(Math.floor(down * n), 0), n - 1)) * n;
        for (let column = left; column < right; column++) {
          const along = (bounds.x + ((column + 0.5) / GRID) * bounds.width - x) / width;
          const at = Math.min(Math.max(Math.floor(along * n), 0), n - 1);
          grid[row * GRID + column] = entry.values[line + at];
        }
      }
    }
    return grid.filter((v) => !Number.isNaN(v));
  }

  #blend(before, next, shares) {
    const [share, ...rest] = shares;
    this.edges = share === 1 ? next : mixed(before, next, share);
    this.#colour();
    if (rest.length) this.balancing = setTimeout(() => this.#blend(before, next, rest), 50);
  }

  #colour() {
    const { missing, status } = this.map;
    if (this.reading === 'status') this.scale = Scale.codes(status.map(([, c]) => c), missing);
    else if (this.edges) this.scale = new Scale(this.edges, this.look.table, missing);
    this.viewer.forceRedraw();
  }

  #loaded() {
    this.#tell('view');
    if (!this.edges) {
      // the first tile: wait only until it is among those drawn
      clearTimeout(this.balancing);
      this.balancing = setTimeout(() => this.balance(), 30);
    } else if (!this.look.locked && !this.rebalance) {
      this.rebalance = setTimeout(() => {
        this.rebalance = null;
        this.balance();
      }, 400);
    }
  }

  #moved() {
    this.#tell('view');
    const now = performance.now();
    if (now - (this.lastDrop ?? 0) > 120) this.#drop(now);
    const inside = this.view().z - this.root.depth;
    if (inside > 19 || (inside < 0.5 && this.root.depth)) this.#reroot(); // before the zoom ends
  }

  #settled() {
    this.#drop(performance.now());
    this.#reroot();
    this.#loaded();
    this.#tell('settled');
  }

  #reroot() {
    const [view, target] = [this.view(), this.view({ target: true })];
    if (!this.root.leaves(view)) return;
    const z = Math.max(Math.min(target.z, view.z + AHEAD.in), view.z - AHEAD.out);
    const root = Root.around({ ...view, z });
    if (!root.equals(this.root)) this.#stand(root, view, target);
  }

  /** Drops tiles that are neither in the window nor in the one it moves to, or too fine for it. */
  #drop(now) {
    this.lastDrop = now;
    const { viewport } = this.viewer;
    const bounds = viewport.getBounds(false);
    const finest = this.#finest(false);
    this.tiles.drop(({ tile }) => {
      const { x, y, width, height } = tile.bounds;
      const across = x < bounds.x + bounds.width && x + width > bounds.x;
      const along = y < bounds.y + bounds.height && y + height > bounds.y;
      return tile.level <= finest && across && along;
    });
  }

  #tell(name) {
    this.events.dispatchEvent(new CustomEvent(name, { detail: this }));
  }
}
