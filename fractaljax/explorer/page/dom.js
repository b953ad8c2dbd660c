/** Small helpers for the document. */

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

/** An element: `make('button', {class: 'plain', onclick}, 'text', child)`. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A small square of a colour. */
export function swatch(colour) {
  const dot = make('span', { class: 'dot' });
  dot.style.background = colour;
  return dot;
}

/** Calls at most once a frame, with the latest state. */
export function everyFrame(callback) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      callback();
    });
  };
}

/** Calls once it has been quiet for so many milliseconds. */
export function whenQuiet(milliseconds, callback) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(callback, milliseconds);
  };
}

/** Copies text; without leave for the clipboard (plain http), through a hidden field. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make('textarea', { class: 'hidden' });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}

/** Says something for a few seconds. */
export function say(text) {
  const toast = byId('toast');
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (toast.hidden = true), 2500);
}

/** 1234567 as `1.23 M`. */
export function short(number) {
  for (const [size, unit] of [[1e9, ' G'], [1e6, ' M'], [1e3, ' k']]) {
    if (number >= size) return (number / size).toPrecision(3) + unit;
  }
  return number >= 10 ? number.toFixed(0) : String(Number(number.toPrecision(2)));
}

/** Seconds as `40 s`, `12 min`, `3.5 h`. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} d`;
}

/** A value in native units with so many significant digits, short where it can be. */
export function plain(number, digits = 6) {
  if (!Number.isFinite(number)) return 'not finite';
  const text = number.toPrecision(Math.min(Math.max(digits, 3), 17));
  return text.includes('e') || !text.includes('.') ? text : text.replace(/\.?0+$/, '');
}
