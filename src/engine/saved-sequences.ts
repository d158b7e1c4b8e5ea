import {
  type CacheStore,
  decodeSavedCache,
  encodeSavedCache,
  type SavedCache,
  type SavedFile,
  type SavedText,
} from '../cache/saved-cache.ts';
import { LayerLosses } from '../cache/layer-losses.ts';
import { statesToSave } from '../cache/text-states.ts';
import { countInSight } from '../cache/windows.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { finished, readOnce } from '../gpu/readback.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { followsRecordedPlan } from './adaptation.ts';
import { NO_ADAPTERS } from '../session/adapter-mix.ts';
import type { LiveSession } from './live-session.ts';
import { modelHash } from './model-hash.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import type { Requests } from './requests.ts';
import type { SavedCaches, SavedSize } from './types.ts';

/** Computed texts in a store: their pages go there from the GPU, and come back in another visit. */
export class SavedSequences implements SavedCaches {
  /** Read when first needed. */
  #model: Promise<string> | undefined;

  constructor(
    private readonly session: LiveSession,
    private readonly requests: Requests,
    private readonly store: CacheStore | undefined,
    private readonly sources: readonly ByteSource[],
  ) {}

  async save(name: string): Promise<SavedSize> {
    const store = this.#place();
    const model = await this.#modelHash();
    const latest = await this.requests.alone(async (session) => {
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
    await this.requests.alone(async (session) => {
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
      reason: 'this engine was given no place to save to',
    });
  }

  #modelHash(): Promise<string> {
    this.#model ??= this.#hash().catch((error: unknown) => {
      this.#model = undefined; // what failed once may do later
      throw error;
    });
    return this.#model;
  }

  /** The same files quantized in another way are another model, and so are they where they rotate keys in another. */
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

/** The text that was computed last. Nothing may run meanwhile. Errors: `bad_request`, `unsupported`, `device_lost`. */
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
      reason: 'tokens in the middle of the text were given up',
    });
  }
  transformer.cache.giveBackBehind(pages, latest.heldTokens); // what is kept follows from the text's length alone
  const kept = statesToSave(states, transformer.config);
  const layers: Uint8Array<ArrayBuffer>[] = [];
  for (const [i, layer] of transformer.cache.layers.entries()) {
    const ranges = layer.ranges([...pages, ...kept].flatMap((page) => page.layers[i] ?? []));
    layers.push(new Uint8Array(await readOnce(device, 'saved pages', ranges)));
  }
  const saved = pages.map((page) => page.layers.map(({ form, entries, mass }) => ({ form, entries, mass })));
  return {
    text: {
      tokens,
      adapters,
      policy: policy.key,
      pages: saved,
      ...(kept.length > 0 && { states: kept.map((state) => state.tokens) }),
      probed: {
        pages: probed.pages,
        losses: probed.found.filter(({ change, size }) => Number.isFinite(change + size)),
      },
    },
    layers,
  };
}

/** Puts a text among those that requests go on from, at the cost of those longest unused. Nothing may run meanwhile. */
function restore({ sequences, transformer }: Session, { text, layers }: SavedCache): void {
  const { cache } = transformer;
  sequences.makeRoom(text.pages.length, countInSight(cache.config, text.pages), text.states?.length);
  // A request that goes on from it brings the adapters and the policy that the keys stand for.
  const sequence = new Sequence(NO_ADAPTERS, 0, { key: text.policy });
  sequence.spans = text.adapters;
  sequence.tokens = [...text.tokens];
  Object.assign(sequence, cache.restore(text.pages, layers, text.states));
  sequence.probed = new LayerLosses(text.probed.losses, text.probed.pages);
  sequences.giveBack(sequence);
  cache.shrink();
}

const unknown = (name: string): ChunkwiseError =>
  new ChunkwiseError('bad_request', { field: 'name', reason: `no cache is saved as ${JSON.stringify(name)}` });
