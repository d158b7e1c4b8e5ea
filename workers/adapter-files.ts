import type { AdapterSource } from '../src/adapters/adapter-header.ts';
import type { LadderBuilder } from '../src/adapters/rank-ladder.ts';
import { cachedLadders } from '../src/adapters/ladder-cache.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { type HubId, type HubOptions, parseHubId } from '../src/hub/hub-api.ts';
import { BlobSource, type ByteSource } from '../src/weights/byte-source.ts';
import { ladderStore } from '../src/storage/result-stores.ts';
import type { Ladders } from './ranks.worker.ts';
import { openThread, type StartThread } from './threads.ts';
import { openStored } from './model-store.ts';
import { isWhole, readManifest } from '../src/storage/model-files.ts';
import { FUNCTION_FILES } from '../src/hub/pick-files.ts';
import {
  explainMissing,
  fileAt,
  findAdapterFiles,
  isMissing,
  listPaths,
  unlisted,
  type WantedFile,
} from './model-sources.ts';
import { isOffline } from './stored-parts.ts';
import type { AdapterFiles, ConfirmLoad, LibraryPlace } from './protocol.ts';

/**
 * Opens an adapter's files. Files given by URL or hub id are downloaded into the browser's storage; stored files of a hub
 * id need no network. Throws `network`, `over_limit`, `bad_file`, `bad_request`; `unsupported` for a pickle; `aborted` if
 * `confirm` returns false.
 */
export async function openAdapter(
  files: AdapterFiles,
  hub: HubOptions,
  confirm: ConfirmLoad | undefined,
): Promise<OpenedAdapter> {
  const options = { kind: 'adapter', confirm, onProgress: () => undefined } as const;
  if ('hub' in files || 'folder' in files) {
    const [name, wanted] =
      'hub' in files
        ? [files.hub, await findOnHub(files.hub, hub)]
        : [files.folder, [fileAt(files.config, hub), fileAt(files.weights, hub)]];
    const opened = openStored(name, wanted, options);
    const [config, weights, definition] = await opened.catch((error: unknown) => explainMissing(hub, error));
    if (!config || !weights) throw new Error('an adapter has two files');
    const openDefinition =
      'hub' in files ? async () => definition : () => findDefinition(files.folder, hub, options.onProgress);
    return { source: { config, weights }, openDefinition };
  }
  if ('config' in files) {
    const { config, weights, definition } = files;
    return {
      source: {
        config: sourceOf(config, 'adapter_config.json'),
        weights: sourceOf(weights, 'adapter_model.safetensors'),
      },
      openDefinition: async () => definition && sourceOf(definition, 'function.yaml'),
    };
  }
  const { gguf } = files;
  if (gguf instanceof Blob) return { source: { gguf: sourceOf(gguf, 'adapter.gguf') }, openDefinition: noDefinition };
  const [source] = await openStored(gguf, [fileAt(gguf, hub)], options);
  if (!source) throw new Error('an adapter has a file');
  return { source: { gguf: source }, openDefinition: noDefinition };
}

/** An adapter's files. */
export interface OpenedAdapter {
  source: AdapterSource;
  /** Opens the file of the adapter's function; undefined if there is none. */
  openDefinition: () => Promise<ByteSource | undefined>;
}

const noDefinition = async (): Promise<undefined> => undefined;

/** Looks for the file of a function in a folder on a server, and stores it. */
async function findDefinition(
  folder: string,
  hub: HubOptions,
  onProgress: () => void,
): Promise<ByteSource | undefined> {
  for (const name of FUNCTION_FILES) {
    const url = new URL(folder);
    url.pathname += name;
    try {
      const files = [fileAt(url.href, hub)];
      const check = async ([source]: readonly ByteSource[]): Promise<{ license: undefined }> => {
        if (source) checkDefinitionSize(source);
        return { license: undefined };
      };
      return (await openStored(url.href, files, { kind: 'adapter', check, confirm: undefined, onProgress }))[0];
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

/** Most bytes of a function's file. */
const MOST_DEFINITION_BYTES = 256 * 1024;

function checkDefinitionSize({ name: file, size }: ByteSource): void {
  if (size <= MOST_DEFINITION_BYTES) return;
  throw new ChunkwiseError('bad_file', { file, reason: `has more than ${MOST_DEFINITION_BYTES} bytes` });
}

/** Reads the file of a function. Throws `bad_file` if it is too large or no UTF-8. */
export async function readDefinition(source: ByteSource): Promise<{ file: string; text: string }> {
  const { name: file, size } = source;
  checkDefinitionSize(source);
  const bytes = await source.read(0, size);
  try {
    return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (cause) {
    throw new ChunkwiseError('bad_file', { file, reason: 'is not UTF-8' }, { cause });
  }
}

/** The paths of the files in a repository. Throws `network`, `bad_file`; `unsupported` for a folder, whose server lists no files. */
export async function libraryFiles(place: LibraryPlace, hub: HubOptions): Promise<string[]> {
  if ('hub' in place) return listPaths(parseHubId(place.hub) as HubId, hub); // the API checked the id
  const { folder: file } = place;
  throw new ChunkwiseError('unsupported', { file, field: 'files', reason: 'must be named for a folder' });
}

/** The name under which an adapter is stored; undefined for files, which are not stored. */
export function storedName(files: AdapterFiles): string | undefined {
  if ('hub' in files) return files.hub;
  if ('folder' in files) return files.folder;
  return 'gguf' in files && typeof files.gguf === 'string' ? files.gguf : undefined;
}

const sourceOf = (file: Blob, name: string): ByteSource =>
  new BlobSource(file instanceof File ? file.name : name, file);

async function findOnHub(name: string, hub: HubOptions): Promise<WantedFile[]> {
  const id = parseHubId(name);
  if (!id) throw new Error(`${name} is no hub id`); // the page checks it
  const manifest = await readManifest(name);
  try {
    return await findAdapterFiles(id, hub, isWhole(manifest) ? { attempts: 1 } : {});
  } catch (error) {
    if (!isWhole(manifest) || !isOffline(error)) throw error;
    return unlisted(manifest.files, error);
  }
}

/** Loads rank ladders from the browser's storage, or builds each in a thread that ends afterwards. */
export const laddersIn = (startThread: StartThread): LadderBuilder =>
  cachedLadders(ladderStore, async (adapter, options) => {
    const lost = (failure?: Error): ChunkwiseError => {
      const reason = `the worker for rank ladders ${failure ? `failed: ${failure.message}` : 'was ended'}`;
      return new ChunkwiseError('disposed', { reason });
    };
    const done = new AbortController();
    const { thread, ended } = openThread<Ladders>(startThread, 'ladder', lost, done.signal);
    try {
      return await Promise.race([thread.build(adapter, options), ended]);
    } finally {
      done.abort();
      void thread.endThread();
    }
  });
