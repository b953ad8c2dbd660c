/**
 * The tiles of a map as values: kept, asked for in a good order, dropped when they leave the view.
 *
 * The viewer says which tiles it wants; here at most `OPEN` of them are asked for at a time, the
 * coarse ones first and then those nearest the middle. Values stay in memory (the last `KEPT`
 * tiles), so another palette, another root of the pyramid or a way back costs no request.
 */

import { request } from './api.js';

const OPEN = 4; // requests at a time: browsers allow six a host, the rest is for clicks and status
const KEPT = 3000; // tiles in memory, 16 kB each
const TRIES = 4; // of a tile that the server fails to make

export class Tiles {
  /**
   * @param {(error: ?ServerError) => void} report told about failures, and null once all is well
   */
  constructor(report) {
    this.report = report;
    this.kept = new Map(); // url -> Float32Array, the oldest use first
    this.wanted = new Map(); // url -> Wish
    this.open = 0;
    this.pausedUntil = 0;
  }

  /** The values of a tile if they are at hand. */
  values(url) {
    const values = this.kept.get(url);
    if (values) {
      this.kept.delete(url);
      this.kept.set(url, values);
    }
    return values;
  }

  /**
   * Asks for a tile.
   *
   * @param {{url: string, order: () => number, done: (Float32Array) => void,
   *   none: (reason: 'dropped'|'refused') => void, tries?: number}} wish the smallest `order` is
   *   served first; `none` is called instead of `done` if there is to be no answer
   */
  want(wish) {
    this.wanted.set(wish.url, { tries: 0, ...wish });
    if (!this.serving) queueMicrotask(() => this.#serve()); // once for all asked in a frame
    this.serving = true;
  }

  /** Drops what is not wanted any more: `keep(wish)` decides. Open requests are aborted. */
  drop(keep) {
    for (const wish of [...this.wanted.values()]) {
      if (keep(wish)) continue;
      this.wanted.delete(wish.url);
      wish.abort?.abort();
      wish.none('dropped');
    }
    this.#serve();
  }

  /** Number of tiles asked for and not here yet. */
  get waiting() {
    return this.wanted.size;
  }

  #serve() {
    this.serving = false;
    if (this.open >= OPEN) return;
    const pause = this.pausedUntil - performance.now();
    if (pause > 0) {
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        this.#serve();
      }, pause);
      return;
    }
    const waiting = [...this.wanted.values()].filter((wish) => !wish.abort);
    const ordered = waiting.map((wish) => ({ wish, order: wish.order() }));
    ordered.sort((a, b) => a.order - b.order);
    for (const { wish } of ordered.slice(0, OPEN - this.open)) this.#fetch(wish);
  }

  async #fetch(wish) {
    wish.abort = new AbortController();
    wish.tries += 1;
    this.open += 1;
    try {
      const response = await request(wish.url, { signal: wish.abort.signal });
      const values = new Float32Array(await response.arrayBuffer());
      this.#keep(wish.url, values);
      this.report(null);
      if (this.wanted.get(wish.url) === wish) {
        this.wanted.delete(wish.url);
        wish.done(values);
      }
    } catch (error) {
      if (this.wanted.get(wish.url) === wish) this.#failed(wish, error);
    } finally {
      this.open -= 1;
      this.#serve();
    }
  }

  /** Full queue or lost server: all wait and try again. Other errors: a few tries, then no tile. */
  #failed(wish, error) {
    wish.abort = undefined;
    const lost = error.status === undefined || error.status === 0;
    const busy = error.status === 429 || error.status === 503;
    if (lost || busy) {
      wish.backoff = Math.min((wish.backoff ?? 0.5) * 2, 15);
      const seconds = (busy && error.wait) || wish.backoff;
      this.pausedUntil = performance.now() + 1000 * seconds * (0.8 + 0.4 * Math.random());
    } else if (error.status < 500 || wish.tries >= TRIES) {
      this.wanted.delete(wish.url);
      wish.none('refused');
    }
    if (!busy && error.status !== 410) this.report(error);
  }

  #keep(url, values) {
    this.kept.set(url, values);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
  }
}
