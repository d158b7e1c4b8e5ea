import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { pickleError } from '../src/errors/pickle-error.ts';
import {
  type HubFile,
  hubHeaders,
  type HubId,
  type HubOptions,
  type HubRepo,
  listRepo,
  parseHubId,
} from '../src/hub/hub-api.ts';
import { pickAdapterFiles, pickModelFiles } from '../src/hub/pick-files.ts';
import { shardNames } from '../src/weights/gguf/gguf-split.ts';
import { describeRemote, readJson, type RemoteOptions } from '../src/downloads/remote-file.ts';

/** A file to download. */
export interface WantedFile {
  url: string;
  /** Name in storage. A hub's file has the revision that was asked for, which may move to other commits. */
  key: string;
  headers: Record<string, string>;
  /** Facts from the hub's listing. */
  known?: { size: number; content: string; sha256: string | undefined };
  /** Set if the hub could not be reached: only a stored copy can be used. */
  unlisted?: ChunkwiseError;
  /** License of the hub's repository. */
  license?: string | undefined;
}

/** A file by its URL. */
export const fileAt = (url: string, hub: HubOptions): WantedFile => ({ url, key: url, headers: hubHeaders(url, hub) });

/** Stored files whose hub cannot be reached. */
export const unlisted = (keys: readonly string[], error: ChunkwiseError): WantedFile[] =>
  keys.map((key) => ({ url: key, key, headers: {}, unlisted: error }));

/** Finds the files of a model by its hub id or URL. Throws what `listRepo` and `pickModelFiles` throw. */
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

/** Finds the config and the weights of an adapter by its hub id, and the file of its function. */
export async function findAdapterFiles(id: HubId, hub: HubOptions, options: RemoteOptions): Promise<WantedFile[]> {
  const repo = await list(id, hub, options);
  const { config, weights, definition } = pickAdapterFiles(id, repo);
  return [config, weights, ...(definition ? [definition] : [])].map((file) => wantedFile(file, id, hub, repo));
}

/** The paths of a repository's files. Throws what `listRepo` throws. */
export async function listPaths(id: HubId, hub: HubOptions): Promise<string[]> {
  return (await list(id, hub, {})).files.map(({ path }) => path);
}

const WEIGHTS = /adapter_model\.safetensors(?=$|[?#])/;

/** Whether a server has no such file. */
export const isMissing = (error: unknown): error is ChunkwiseError =>
  error instanceof ChunkwiseError && error.code === 'network' && /^status 404/.test(error.detail.reason);

/** Throws a clearer error if an adapter's folder has its weights as a pickle instead; otherwise `error`. */
export async function explainMissing(hub: HubOptions, error: unknown): Promise<never> {
  const url = (isMissing(error) && error.detail.file) || '';
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
