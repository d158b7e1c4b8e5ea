/** A text that survives a reload of this tab; empty if there is none. Some windows store nothing. */
export function keptText(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/** An empty text is removed. */
export function keepText(key: string, text: string): void {
  try {
    if (text === '') sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, text);
  } catch {
    // Without storage or room it ends with the page.
  }
}
