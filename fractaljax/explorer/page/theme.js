/** Dark and light: as the system has it, until the button says otherwise. */

const KEY = 'fractaljax.theme';

/** @param {HTMLButtonElement} button turns the theme round */
export function theme(button) {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const now = () => localStorage.getItem(KEY) ?? (dark.matches ? 'dark' : 'light');
  const apply = () => {
    const chosen = localStorage.getItem(KEY);
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.setAttribute('aria-pressed', String(now() === 'dark'));
  };
  dark.addEventListener('change', apply);
  button.addEventListener('click', () => {
    localStorage.setItem(KEY, now() === 'dark' ? 'light' : 'dark');
    apply();
  });
  apply();
}
