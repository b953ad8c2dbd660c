/** The keyboard, outside fields and dialogs. */

/** @param {Object<string, (event: KeyboardEvent) => void>} actions by `event.key`, lower case */
export function keyboard(actions) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (document.querySelector('dialog[open]')) return; // which knows Escape and Enter itself
    const field = event.target.closest?.('input, select, textarea');
    if (field && key !== 'Escape') return;
    const pressed = event.target.closest?.('button, a, summary');
    if (pressed && (key === 'Enter' || key === ' ')) return;
    const action = actions[key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}
