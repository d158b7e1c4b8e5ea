import {
  type CacheStore,
  decodeSavedCache,
  encodeSavedCache,
  type SavedCache,
  type SavedFile,
  type SavedText,
} from '../cache/saved-cache.ts';
import { recurrentStatesToSave } from '../cache/recurrent-states.ts';
import { countWindowPages, LayerLosses, type LayerPage, type SavedPage } from '../cache/cache-page.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { readOnce } from '../gpu/recorder.ts';
import { finished } from '../gpu/device.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { followsRecordedPlan } from './adapters.ts';
import { NO_ADAPTERS } from '../session/adapter-mix.ts';
import type { LiveSession } from './live-session.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import type { SavedCaches, SavedSize } from './types.ts';
import { hexDigest } from '../util/digest.ts';
import { readGguf } from '../weights/gguf/gguf-reader.ts';
import { isSafetensors } from '../weights/safetensors/safetensors-model.ts';
import { readSafetensors } from '../weights/safetensors/safetensors-reader.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

/** Saves computed texts to a store, and restores them in another visit. */
export class SavedSequences implements SavedCaches {
  /** Read when first needed. */
  #model: Promise<string> | undefined;

  /** `alone`: runs work while no request runs. */
  constructor(
    private readonly session: LiveSession,
    private readonly alone: <T>(work: (session: Session) => Promise<T>) => Promise<T>,
    private readonly store: CacheStore | undefined,
    private readonly sources: readonly ByteSource[],
  ) {}

  async save(name: string): Promise<SavedSize> {
    const store = this.#place();
    const model = await this.#modelHash();
    const latest = await this.alone(async (session) => {
      const { lostText } = this.session;
      return session.sequences.idle.length === 0 && lostText !== undefined ? lostText : readLatest(session);
    });
    if (typeof latest === 'string') {
      throw new ChunkwiseError('device_lost', { reason: `the computed text was lost with the device: ${latest}` });
    }
    const { text, layers } = latest;
    const bytes = await encodeSavedCache({ text: { model, ...text }, layers });
    await store.put(name, bytes);
    return { tokens: text.tokens.length, bytes: bytes.length };
  }

  async load(name: string): Promise<SavedSize> {
    const bytes = await this.#place().get(name);
    if (!bytes) throw unknown(name);
    const { config, contextLength } = (await this.session.get()).plan;
    const saved = await decodeSavedCache(bytes, name, { hash: await this.#modelHash(), config });
    const { length } = saved.text.tokens;
    if (length > contextLength) {
      const reason = `${name} has ${length} tokens, the context is ${contextLength}`;
      throw new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
    }
    await this.alone(async (session) => {
      restore(session, saved);
      await finished(session.device);
    });
    return { tokens: length, bytes: bytes.byteLength };
  }

  list(): Promise<SavedFile[]> {
    return this.#place().list();
  }

  async delete(name: string): Promise<void> {
    const store = this.#place();
    if (!(await store.list()).some((file) => file.name === name)) throw unknown(name);
    await store.delete(name);
  }

  #place(): CacheStore {
    if (this.store) return this.store;
    throw new ChunkwiseError('unsupported', {
      field: 'savedCaches',
      reason: 'the engine was opened without a place to save to',
    });
  }

  #modelHash(): Promise<string> {
    this.#model ??= this.#hash().catch((error: unknown) => {
      this.#model = undefined; // a later call may succeed
      throw error;
    });
    return this.#model;
  }

  /** Files with other weights types are another model, and so are those that rotate keys differently. */
  async #hash(): Promise<string> {
    const { weights, config, contextLength } = (await this.session.get()).plan;
    const isLong = config.shortContext !== undefined && contextLength > config.shortContext;
    const parts = [await modelHash(this.sources), weights, isLong ? 'long' : undefined];
    return parts.filter((part) => part !== undefined).join(' ');
  }
}

interface LatestText extends Pick<SavedCache, 'layers'> {
  text: Omit<SavedText, 'model'>;
}

/** The text computed last. Nothing may run meanwhile. Errors: `bad_request`, `unsupported`, `device_lost`. */
async function readLatest({ device, sequences, transformer }: Session): Promise<LatestText> {
  const latest = sequences.idle.at(-1);
  if (!latest)
    throw new ChunkwiseError('bad_request', { field: 'saveCache', reason: 'no computed text is in the cache' });
  const { tokens, pages, states, dropped, policy, probed } = latest;
  const adapters = latest.spans.filter(({ from }) => from < tokens.length);
  if (adapters.some(({ key }) => followsRecordedPlan(key))) {
    const reason = 'the text follows a recorded plan, and no later request is known to follow the same one';
    throw new ChunkwiseError('unsupported', { field: 'plan', reason });
  }
  if (dropped > 0) {
    throw new ChunkwiseError('unsupported', {
      field: 'pages',
      reason: 'tokens in the middle of the text were evicted',
    });
  }
  transformer.cache.freeBeforeWindow(pages, latest.heldTokens); // the text's length alone decides what is kept
  const kept = recurrentStatesToSave(states, transformer.config);
  const layers: Uint8Array<ArrayBuffer>[] = [];
  for (const [i, layer] of transformer.cache.layers.entries()) {
    const own = pages.map((page) => page.layers[i] as LayerPage);
    const ranges = layer.ranges([...own, ...kept.flatMap((state) => state.layers[i] ?? [])]);
    const shares = own.flatMap(({ slots = [] }) => slots.flatMap((slot) => slot?.shares ?? []));
    const squares = own.flatMap((page) => (page.squares ?? []).flatMap((each) => each ?? []));
    layers.push(await bytesOf([await readOnce(device, 'saved pages', ranges), ...shares, ...squares]));
  }
  const saved = pages.map((page) => page.layers.map(savedPage));
  const sparse = {
    first: pages.findIndex(({ isSparse }) => isSparse),
    count: pages.filter(({ isSparse }) => isSparse).length,
  };
  return {
    text: {
      tokens,
      adapters,
      policy: policy.key,
      pages: saved,
      ...(sparse.count > 0 && { sparse }),
      ...(kept.length > 0 && { states: kept.map((state) => state.tokens) }),
      probed: {
        pages: probed.pages,
        losses: probed.found.filter(({ change, size }) => Number.isFinite(change + size)),
      },
    },
    layers,
  };
}

const bytesOf = async (parts: BlobPart[]): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await new Blob(parts).arrayBuffer());

const savedPage = ({ form, entries, slots, squares }: LayerPage): SavedPage => ({
  ...{ form, entries },
  ...(slots && { slots: slots.map((slot) => (slot ? { from: slot.from, entries: slot.shares.length } : null)) }),
  ...(squares && { squared: true }),
});

/** Adds a text to the prefix cache, and evicts those longest unused. Nothing may run meanwhile. */
function restore({ sequences, transformer }: Session, { text, layers }: SavedCache): void {
  const { cache } = transformer;
  sequences.makeRoom(text.pages.length, countWindowPages(cache.config, text.pages), text.states?.length);
  // A request that reuses it brings its own adapters and policy.
  const sequence = new Sequence(NO_ADAPTERS, 0, { key: text.policy });
  sequence.spans = text.adapters;
  sequence.tokens = [...text.tokens];
  Object.assign(sequence, cache.restore(text.pages, layers, text.states, text.sparse));
  sequence.probed = new LayerLosses(text.probed.losses, text.probed.pages);
  sequences.giveBack(sequence);
  cache.shrink();
}

const unknown = (name: string): ChunkwiseError =>
  new ChunkwiseError('bad_request', { field: 'name', reason: `no cache is saved as ${JSON.stringify(name)}` });

/** Bytes that are read of each tensor. */
const SAMPLE_BYTES = 4096;

/**
 * Hash of a model: the SHA-256 of its files' headers, lengths and the first 4 KiB of each tensor, independent of file
 * names and order. Another model, a fine-tuned one or another quantization has another hash. Files that differ only
 * further inside a tensor have the same: a damaged download, or a few weights edited by hand. Reading a whole model
 * would take longer than computing the text again.
 */
export async function modelHash(sources: readonly ByteSource[]): Promise<string> {
  const form = isSafetensors(sources) ? 'safetensors' : 'gguf';
  const files = await Promise.all(sources.map((source) => fileHash(source, form)));
  return hexDigest([files.sort().join()]);
}

/** Some files of a safetensors model hold no tensors: they are all header. */
async function tensorsOf(source: ByteSource, form: 'gguf' | 'safetensors'): Promise<readonly TensorInfo[]> {
  if (form === 'gguf') return (await readGguf(source)).tensors;
  return isSafetensors([source]) ? (await readSafetensors(source)).tensors : [];
}

async function fileHash(source: ByteSource, form: 'gguf' | 'safetensors'): Promise<string> {
  const tensors = await tensorsOf(source, form);
  const header = await source.read(0, tensors[0]?.offset ?? source.size);
  const samples: Uint8Array[] = [];
  for (const { offset, bytes } of tensors) samples.push(await source.read(offset, Math.min(bytes, SAMPLE_BYTES)));
  return hexDigest([`${source.size} `, ...[header, ...samples].map((part) => part.slice())]);
}
