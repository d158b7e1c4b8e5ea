/**
 * Choices about the page's looks. They are needed before the first paint, so they are stored separately: see
 * `first-paint.js`.
 */
const { documentElement: root } = document;

/** Empty if nothing was chosen. */
export const chosenLook = (name: 'theme' | 'readouts'): string => root.dataset[name] ?? '';

/** Stores a choice; an empty text removes it. */
export function chooseLook(name: 'theme' | 'readouts', value: string): void {
  root.dataset[name] = value;
  try {
    if (value === '') localStorage.removeItem(`chunkwise ${name}`);
    else localStorage.setItem(`chunkwise ${name}`, value);
  } catch {
    // Without storage the choice ends with the page.
  }
}

/** Calls `draw` when the page's colours change, which a canvas does not follow by itself. */
export function onSchemeChange(draw: () => void): void {
  new MutationObserver(draw).observe(root, { attributeFilter: ['data-scheme'] });
}
