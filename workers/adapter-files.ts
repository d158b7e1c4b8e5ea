import type { AdapterSource } from '../src/adapters/formats/adapter-header.ts';
import type { LadderBuilder } from '../src/adapters/ladder/adapter-ladder.ts';
import { cachedLadders } from '../src/adapters/ladder/ladder-cache.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { parseHubId } from '../src/hub/model-id.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { ladderStore } from '../src/storage/ladder-store.ts';
import type { LadderWorker } from './ladder.worker.ts';
import { openThread, type StartThread } from './open-thread.ts';
import { openStored } from './model-store.ts';
import { isWhole, readManifest } from '../src/storage/model-files.ts';
import { explainMissing, fileAt, findAdapterFiles, unlisted } from './model-sources.ts';
import type { WantedFile } from './model-sources.ts';
import { isOffline } from './stored-parts.ts';
import type { AdapterFiles, ConfirmLoad } from './protocol.ts';

/**
 * An adapter's files, ready to be read; those given by URLs or a hub id are downloaded into the browser's storage, where
 * those of a hub id are found without the network too. Throws `network`, `over_limit`, `bad_file`, `bad_request`;
 * `unsupported` for a pickle; `aborted` where `confirm` says so.
 */
export async function openAdapter(
  files: AdapterFiles,
  hub: HubOptions,
  confirm: ConfirmLoad | undefined,
): Promise<AdapterSource> {
  const options = { kind: 'adapter', confirm, onProgress: () => undefined } as const;
  if ('hub' in files || 'folder' in files) {
    const [name, wanted] =
      'hub' in files
        ? [files.hub, await findOnHub(files.hub, hub)]
        : [files.folder, [fileAt(files.config, hub), fileAt(files.weights, hub)]];
    const opened = openStored(name, wanted, options);
    const [config, weights] = await opened.catch((error: unknown) => explainMissing(hub, error));
    if (!config || !weights) throw new Error('two files were wanted');
    return { config, weights };
  }
  if ('config' in files) {
    return {
      config: sourceOf(files.config, 'adapter_config.json'),
      weights: sourceOf(files.weights, 'adapter_model.safetensors'),
    };
  }
  const { gguf } = files;
  if (gguf instanceof Blob) return { gguf: sourceOf(gguf, 'adapter.gguf') };
  const [source] = await openStored(gguf, [fileAt(gguf, hub)], options);
  if (!source) throw new Error('a file was wanted');
  return { gguf: source };
}

/** What an adapter is stored as; undefined where its files were given. */
export function storedName(files: AdapterFiles): string | undefined {
  if ('hub' in files) return files.hub;
  if ('folder' in files) return files.folder;
  return 'gguf' in files && typeof files.gguf === 'string' ? files.gguf : undefined;
}

const sourceOf = (file: Blob, name: string): ByteSource =>
  new BlobSource(file instanceof File ? file.name : name, file);

async function findOnHub(name: string, hub: HubOptions): Promise<WantedFile[]> {
  const id = parseHubId(name);
  if (!id) throw new Error(`${name} is no hub id`); // the page has seen to it
  const manifest = await readManifest(name);
  try {
    const { config, weights } = await findAdapterFiles(id, hub, isWhole(manifest) ? { attempts: 1 } : {});
    return [config, weights];
  } catch (error) {
    if (!isWhole(manifest) || !isOffline(error)) throw error;
    return unlisted(manifest.files, error);
  }
}

/** Rank ladders as this browser kept them, or built in a thread of their own, which ends with its work. */
export const laddersIn = (startThread: StartThread): LadderBuilder =>
  cachedLadders(ladderStore, async (adapter, options) => {
    const lost = (failure?: Error): ChunkwiseError => {
      const reason = `the worker for rank ladders ${failure ? `failed: ${failure.message}` : 'was ended'}`;
      return new ChunkwiseError('disposed', { reason });
    };
    const done = new AbortController();
    const { thread, ended } = openThread<LadderWorker>(startThread, 'ladder', lost, done.signal);
    try {
      return await Promise.race([thread.build(adapter, options), ended]);
    } finally {
      done.abort();
      void thread.endThread();
    }
  });
