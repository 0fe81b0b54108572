/** Light or dark: as the system is, unless chosen by hand. The choice is kept in this browser. */
export type Theme = 'system' | 'light' | 'dark';

const key = 'ufes-theme';

export function chosenTheme(): Theme {
  try {
    const kept = localStorage.getItem(key);
    return kept === 'light' || kept === 'dark' ? kept : 'system';
  } catch {
    return 'system';
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
}

export function chooseTheme(theme: Theme): void {
  try {
    if (theme === 'system') localStorage.removeItem(key);
    else localStorage.setItem(key, theme);
  } catch {
    // Storage is off: the choice holds until the page is left.
  }
  applyTheme(theme);
  for (const listener of listeners) listener();
}

const listeners = new Set<() => void>();

/** Calls `fn` whenever colours may have changed; the result stops that. */
export function onThemeChange(fn: () => void): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  listeners.add(fn);
  system.addEventListener('change', fn);
  return () => {
    listeners.delete(fn);
    system.removeEventListener('change', fn);
  };
}
