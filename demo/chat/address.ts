const KEY = 'chat';

/** Id of the conversation in the page's address: after `#`, which no server receives. */
export function addressed(): string | undefined {
  return new URLSearchParams(location.hash.slice(1)).get(KEY) ?? undefined;
}

/** Sets or removes the id. `push`: adds an entry to the history. */
export function address(id: string | undefined, how: 'push' | 'replace'): void {
  if (id === addressed()) return;
  const url = new URL(location.href);
  url.hash = id === undefined ? '' : `${KEY}=${id}`;
  if (how === 'push') history.pushState(history.state, '', url);
  else history.replaceState(history.state, '', url);
}
