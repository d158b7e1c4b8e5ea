import type { AdapterSource } from '../src/adapters/formats/adapter-header.ts';
import type { LadderBuilder } from '../src/adapters/ladder/adapter-ladder.ts';
import { cachedLadders } from '../src/adapters/ladder/ladder-cache.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { hubHeaders } from '../src/hub/hub-api.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { parseHubId } from '../src/hub/model-id.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { ladderStore } from '../src/storage/ladder-store.ts';
import type { LadderWorker } from './ladder.worker.ts';
import { openThread, type StartThread } from './open-thread.ts';
import { openStored } from './model-store.ts';
import type { StoreOptions } from './model-store.ts';
import { readManifest } from '../src/storage/model-files.ts';
import { explainMissing, findAdapterFiles, unlisted } from './model-sources.ts';
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
  if ('hub' in files) {
    const [config, weights] = await openStored(files.hub, await findOnHub(files.hub, hub), options);
    if (!config || !weights) throw new Error('two files were wanted');
    return { config, weights };
  }
  if ('gguf' in files) return { gguf: await open(files.gguf, 'adapter.gguf', hub, options) };
  const { weights: place } = files;
  const [config, weights] = await Promise.all([
    open(files.config, 'adapter_config.json', hub, options),
    open(place, 'adapter_model.safetensors', hub, options).catch((error: unknown) => {
      if (typeof place === 'string') return explainMissing(place, hub, error);
      throw error;
    }),
  ]);
  return { config, weights };
}

async function findOnHub(name: string, hub: HubOptions): Promise<WantedFile[]> {
  const id = parseHubId(name);
  if (!id) throw new Error(`${name} is no hub id`); // the page has seen to it
  const manifest = await readManifest(name);
  const isWhole = manifest && !manifest.isPartial;
  try {
    const { config, weights } = await findAdapterFiles(id, hub, isWhole ? { attempts: 1 } : {});
    return [config, weights];
  } catch (error) {
    if (!isWhole || !isOffline(error)) throw error;
    return unlisted(manifest.files, error);
  }
}

async function open(file: string | Blob, name: string, hub: HubOptions, options: StoreOptions): Promise<ByteSource> {
  if (file instanceof Blob) return new BlobSource(file instanceof File ? file.name : name, file);
  const [source] = await openStored(file, [{ url: file, key: file, headers: hubHeaders(file, hub) }], options);
  if (!source) throw new Error('a file was wanted');
  return source;
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
