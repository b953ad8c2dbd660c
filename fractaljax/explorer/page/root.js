/**
 * Roots: the square of the map that the viewer's pyramid covers at the moment.
 *
 * The viewer handles some 30 levels of a pyramid in float64; the map has no bottom. So the pyramid
 * stands on a root, a square of side 2^-depth of the map, and moves to another root when the view
 * goes too deep or too far. Tile addresses of the whole map stay exact: they are BigInts.
 *
 * A root lies on a lattice of half its side, so that every view has a root around it, wherever
 * the borders of tiles are. The viewer's y points down, the map's points up.
 */

import { ONE, part, shifted } from './exact.js';

const TILE_LEVEL = 6; // tiles of this level and deeper have 2^6 samples a side
const BITS = ONE.toString(2).length - 1;
const AROUND = 6; // a new root is 2^6 times as wide as the view
const DEEPEST = 17; // views up to 2^17 times narrower than the root stay in it
const HOME_TO = 14; // and the whole map is the root up to 2^14
const LEVELS = 30; // of the viewer's pyramid

export class Root {
  /**
   * @param {number} depth the root's side is 2^-depth of the map's
   * @param {bigint} x, y its lower left corner in halves of its side
   */
  constructor(depth, x, y) {
    [this.depth, this.x, this.y] = [depth, x, y];
  }

  static home = new Root(0, 0n, 0n);

  /** The root for a view `{x, y, z}`: fractions of the map, and its smaller side is 2^-z. */
  static around(view) {
    const depth = Math.floor(view.z) - AROUND;
    if (view.z < HOME_TO || depth < 1) return Root.home;
    const corner = (at) => {
      const nearest = (shifted(at, depth + 2 - BITS) + 1n) >> 1n;
      const last = (2n << BigInt(depth)) - 2n;
      const low = nearest - 1n;
      return low < 0n ? 0n : low > last ? last : low;
    };
    return new Root(depth, corner(view.x), corner(view.y));
  }

  /** Whether a view should leave this root. */
  leaves(view) {
    const inside = view.z - this.depth;
    if (inside > DEEPEST) return true;
    if (this.depth === 0) return false;
    if (inside < 2) return true;
    const next = Root.around(view);
    const [x, y] = this.local(view);
    const near = (at) => at < 0.15 || at > 0.85;
    return (near(x) || near(y)) && (next.depth !== this.depth || next.x !== this.x || next.y !== this.y);
  }

  equals(other) {
    return this.depth === other.depth && this.x === other.x && this.y === other.y;
  }

  /** Where in the root a place of the map is: numbers, 0 to 1, y downwards. */
  local({ x, y }) {
    const inside = (at, corner) => {
      const offset = at - shifted(corner, BITS - 1 - this.depth);
      return Number(shifted(offset, this.depth + 60 - BITS)) / 2 ** 60;
    };
    return [inside(x, this.x), 1 - inside(y, this.y)];
  }

  /** The place of the map at local coordinates. */
  place(x, y) {
    const at = (inside, corner) => shifted(corner, BITS - 1 - this.depth) + part(inside, this.depth);
    return { x: at(x, this.x), y: at(1 - y, this.y) };
  }

  /** Address of a tile of the viewer's pyramid in the whole map. */
  address(level, column, row) {
    const tiles = level > TILE_LEVEL ? 2 ** (level - TILE_LEVEL) : 1;
    const first = (corner) => shifted(corner, level - TILE_LEVEL - 1);
    return {
      level: level + this.depth,
      x: first(this.x) + BigInt(column),
      y: first(this.y) + BigInt(tiles - 1 - row),
    };
  }

  /** Levels of the viewer's pyramid over this root: `[first, last]`. */
  levels(map) {
    // Below its home, a root starts where a view that just fits has a few dozen tiles at most.
    const last = Math.min(LEVELS, map.floor_level - this.depth);
    return [this.depth ? Math.min(TILE_LEVEL + 4, last) : map.min_level, last];
  }
}
