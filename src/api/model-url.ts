import { hubUrl } from '../hub/hub-api.ts';
import type { HubOptions } from '../hub/hub-api.ts';
import { parseHubId } from '../hub/model-id.ts';
import { pageUrl, parseModelName, type ToUrl } from './options.ts';

/**
 * Where the model of a hub id or a URL comes from: the address of the file, or the page of the repository where an id
 * names none. Nothing is fetched. Throws `bad_request`.
 */
export function modelUrl(model: string, hub: HubOptions = {}): string {
  return modelUrlBy(pageUrl, model, hub);
}

export function modelUrlBy(toUrl: ToUrl, model: string, hub: HubOptions): string {
  const id = parseHubId(model);
  return id ? hubUrl(id, hub) : parseModelName(model, toUrl);
}
