import { modelUrl } from '../../src/api/index.ts';

/** The model in the page's address. */
export function linkedModel(): string | undefined {
  return new URL(location.href).searchParams.get('model') || undefined;
}

/** Removes the model from the page's address, so that a reload opens the user's choice. */
export function forgetLink(): void {
  const url = new URL(location.href);
  if (!url.searchParams.has('model')) return;
  url.searchParams.delete('model');
  history.replaceState(history.state, '', url);
}

/** Whether a model is in the page's own folder or below, without a redirect, whose target is hidden. */
export async function isBesidePage(model: string): Promise<boolean> {
  let url: string;
  try {
    url = modelUrl(model);
  } catch {
    return true; // not an address; loading will report it
  }
  if (!url.startsWith(new URL('.', document.baseURI).href)) return false;
  const asked = fetch(url, { redirect: 'manual', cache: 'no-store', headers: { Range: 'bytes=0-1' } });
  const answer = await asked.catch(() => undefined); // offline it may still be stored
  void answer?.body?.cancel();
  return answer?.type !== 'opaqueredirect';
}
