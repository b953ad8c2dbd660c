/** Bookmarks: links kept in this browser. */

import { byId, make } from './dom.js';

const KEY = 'fractaljax.bookmarks';

/** @type {() => {name: string, hash: string}[]} */
function saved() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function save(bookmarks) {
  localStorage.setItem(KEY, JSON.stringify(bookmarks));
  show();
}

let open;

/**
 * @param {() => {name: string, hash: string}} here names the present view
 * @param {(hash: string) => void} go opens a link
 */
export function bookmarks(here, go) {
  open = go;
  byId('bookmark').addEventListener('click', () => save([here(), ...saved()]));
  show();
}

function show() {
  const list = saved().map(({ name, hash }, index) =>
    make(
      'li',
      {},
      make('a', { href: hash, onclick: (event) => (event.preventDefault(), open(hash)) }, name),
      make(
        'button',
        {
          type: 'button',
          class: 'plain',
          'aria-label': `Forget ${name}`,
          onclick: () => save(saved().filter((_, i) => i !== index)),
        },
        '×',
      ),
    ),
  );
  byId('bookmarks').replaceChildren(...list);
  byId('no-bookmarks').hidden = list.length > 0;
}
