import { modelUrl } from '../../src/api/index.ts';

/** The model that the page's address names. */
export function linkedModel(): string | undefined {
  return new URL(location.href).searchParams.get('model') || undefined;
}

/** Takes the model out of the page's address, so that a reload opens what the user chose. */
export function forgetLink(): void {
  const url = new URL(location.href);
  if (!url.searchParams.has('model')) return;
  url.searchParams.delete('model');
  history.replaceState(history.state, '', url);
}

/** Whether a model lies in the page's own folder or below it, and does not lead on from there: where to is not told. */
export async function isBesidePage(model: string): Promise<boolean> {
  let url: string;
  try {
    url = modelUrl(model);
  } catch {
    return true; // no address of anything: the loading says so
  }
  if (!url.startsWith(new URL('.', document.baseURI).href)) return false;
  const asked = fetch(url, { redirect: 'manual', cache: 'no-store', headers: { Range: 'bytes=0-1' } });
  const answer = await asked.catch(() => undefined); // without a network it may still be on the device
  void answer?.body?.cancel();
  return answer?.type !== 'opaqueredirect';
}
