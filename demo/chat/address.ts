const KEY = 'chat';

/** The conversation that the page's address names: behind `#`, of which no server is told. */
export function addressed(): string | undefined {
  return new URLSearchParams(location.hash.slice(1)).get(KEY) ?? undefined;
}

/** Names another one, or none. `push`: one can go back to the one before. */
export function address(id: string | undefined, how: 'push' | 'replace'): void {
  if (id === addressed()) return;
  const url = new URL(location.href);
  url.hash = id === undefined ? '' : `${KEY}=${id}`;
  if (how === 'push') history.pushState(history.state, '', url);
  else history.replaceState(history.state, '', url);
}
