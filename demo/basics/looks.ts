/** What is chosen of the page's looks. It is known before the first paint, so it lies apart: see `first-paint.js`. */
const { documentElement: root } = document;

/** Empty where nothing was chosen. */
export const chosenLook = (name: 'theme' | 'readouts'): string => root.dataset[name] ?? '';

/** Chooses, at the next visit too; an empty text is no choice any more. */
export function chooseLook(name: 'theme' | 'readouts', value: string): void {
  root.dataset[name] = value;
  try {
    if (value === '') localStorage.removeItem(`chunkwise ${name}`);
    else localStorage.setItem(`chunkwise ${name}`, value);
  } catch {
    // Without storage it lasts as long as the page.
  }
}

/** Calls `draw` when the page's colours have changed: what is drawn on a canvas does not follow by itself. */
export function onSchemeChange(draw: () => void): void {
  new MutationObserver(draw).observe(root, { attributeFilter: ['data-scheme'] });
}
