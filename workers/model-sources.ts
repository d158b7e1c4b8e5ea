import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { pickleError } from '../src/errors/pickle-error.ts';
import type { HubFile, HubOptions, HubRepo } from '../src/hub/hub-api.ts';
import { hubHeaders, listRepo } from '../src/hub/hub-api.ts';
import { parseHubId } from '../src/hub/model-id.ts';
import type { HubId } from '../src/hub/model-id.ts';
import { pickAdapterFiles, pickModelFiles } from '../src/hub/pick-files.ts';
import { shardNames } from '../src/weights/gguf/gguf-split.ts';
import { describeRemote, readJson } from '../src/downloads/remote-file.ts';
import type { RemoteOptions } from '../src/downloads/remote-file.ts';

/** A file to be downloaded. */
export interface WantedFile {
  url: string;
  /** What it is kept under: a hub's file by the revision it was asked for, whose commits change. */
  key: string;
  headers: Record<string, string>;
  /** Of a hub's file, which its listing tells. */
  known?: { size: number; content: string; sha256: string | undefined };
  /** Why the hub could not be asked for it: only what is stored of it counts. */
  unlisted?: ChunkwiseError;
  /** Of the hub's repository. */
  license?: string | undefined;
}

/** A file by its URL. */
export const fileAt = (url: string, hub: HubOptions): WantedFile => ({ url, key: url, headers: hubHeaders(url, hub) });

/** Files that were stored, whose hub cannot be asked for them. */
export const unlisted = (keys: readonly string[], error: ChunkwiseError): WantedFile[] =>
  keys.map((key) => ({ url: key, key, headers: {}, unlisted: error }));

/** The files of a model by its hub id or URL. Throws what `listRepo` and `pickModelFiles` throw. */
export async function findModelFiles(
  model: string,
  hub: HubOptions,
  budgetBytes: number,
  options: RemoteOptions,
): Promise<WantedFile[]> {
  const id = parseHubId(model);
  if (!id) return shardNames(model).map((url) => fileAt(url, hub));
  const repo = await list(id, hub, options);
  return pickModelFiles(id, repo, budgetBytes).map((file) => wantedFile(file, id, hub, repo));
}

/** The config and the weights of an adapter by its hub id. */
export async function findAdapterFiles(
  id: HubId,
  hub: HubOptions,
  options: RemoteOptions,
): Promise<{ config: WantedFile; weights: WantedFile }> {
  const repo = await list(id, hub, options);
  const { config, weights } = pickAdapterFiles(id, repo);
  return { config: wantedFile(config, id, hub, repo), weights: wantedFile(weights, id, hub, repo) };
}

const WEIGHTS = /adapter_model\.safetensors(?=$|[?#])/;

/** Throws why an adapter could not be had: that its folder has the weights as a pickle instead, or else `error`. */
export async function explainMissing(hub: HubOptions, error: unknown): Promise<never> {
  const isMissing =
    error instanceof ChunkwiseError && error.code === 'network' && /^status 404/.test(error.detail.reason);
  const url = (isMissing && error.detail.file) || '';
  if (!WEIGHTS.test(url)) throw error;
  const pickle = url.replace(WEIGHTS, 'adapter_model.bin');
  const isThere = await describeRemote(pickle, { headers: hubHeaders(pickle, hub), attempts: 1 }).then(
    () => true,
    () => false,
  );
  throw isThere ? pickleError(pickle, 'adapter', error) : error;
}

const list = (id: HubId, hub: HubOptions, options: RemoteOptions): ReturnType<typeof listRepo> =>
  listRepo(id, hub, (url) => readJson(url, { ...options, headers: hubHeaders(url, hub) }));

function wantedFile(
  { url, path, size, oid, sha256 }: HubFile,
  { repo, revision }: HubId,
  hub: HubOptions,
  { license }: HubRepo,
): WantedFile {
  const key = `${new URL(url).origin}/${repo}/resolve/${revision}/${path}`;
  return { url, key, headers: hubHeaders(url, hub), known: { size, content: oid, sha256 }, license };
}
