/** A text of this tab, which outlives a reload of it; empty where there is none. Some windows keep nothing. */
export function keptText(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/** An empty text is forgotten. */
export function keepText(key: string, text: string): void {
  try {
    if (text === '') sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, text);
  } catch {
    // Without room, or without storage, it lasts as long as the page.
  }
}
