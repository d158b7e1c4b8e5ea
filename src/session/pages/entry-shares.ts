import { freedPage, type PageRun, slidingWindowLayers } from '../../cache/cache-page.ts';
import { entryMeasures, type EntryMeasures } from '../../cache/sparse-buffers.ts';
import { MAX_SEQUENCES } from '../../config/limits.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { Device } from '../../gpu/device.ts';
import { readOnce, type Recorder } from '../../gpu/recorder.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import type { Transformer } from '../../models/transformer.ts';
import { NO_ADAPTERS } from '../adapter-mix.ts';
import { Sequence, type SequenceCache } from '../sequence.ts';

/** Tokens that repeat pages of a sequence, and these pages, which precede them. */
interface Repetition {
  sequence: Sequence;
  tokens: readonly number[];
  measured: PageRun;
}

/** Computes a repetition; `onEnd` runs once its last batch is recorded. Errors: `aborted`, `context_overflow`, `device_lost`. */
type Compute = (repetition: Repetition, onEnd: () => void, signal: AbortSignal) => Promise<void>;

/** Most tokens of the request to repeat. */
const MOST_REQUEST = 2 * PAGE_TOKENS;

/**
 * How much the entries of a text matter: the largest share of attention that any query gives each when the model repeats the
 * text (after KVzip, arXiv 2505.23416).
 */
export class EntryShares {
  /** Tokens that ask for the repetition, of which the last MOST_REQUEST are used. */
  request: () => readonly number[] = () => [];
  /** Settles when the buffer of results is free. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
    private readonly sequences: SequenceCache,
    private readonly compute: Compute,
  ) {}

  /** Whether the model can repeat a text: not if its layers have states beside keys. */
  get isPossible(): boolean {
    const { deltaNet, convolution } = this.transformer.config;
    return deltaNet === undefined && convolution === undefined;
  }

  /**
   * Shares of whole pages of `sequence`, which may not change meanwhile; undefined if the model cannot repeat them, or no room
   * is left. Errors: `aborted`, `device_lost`.
   */
  measure(sequence: Sequence, run: PageRun, signal: AbortSignal): Promise<EntryMeasures | undefined> {
    if (!this.isPossible) return Promise.resolve(undefined);
    const shares = this.#last.then(() => this.#measure(sequence, run, signal));
    this.#last = shares.catch(() => undefined);
    return shares;
  }

  /** The model sees the text's first page and these pages, as if they followed it, then the request. */
  async #measure(sequence: Sequence, run: PageRun, signal: AbortSignal): Promise<EntryMeasures | undefined> {
    const { config } = this.transformer;
    const { first, count } = run;
    const hidden = slidingWindowLayers(config);
    const seen = [sequence.pages[0], ...sequence.pages.slice(first, first + count)];
    const pages = seen.flatMap((page, i) =>
      page
        ? [
            {
              base: i * PAGE_TOKENS,
              layers: page.layers.map((own, layer) => (hidden.includes(layer) ? freedPage() : own)),
            },
          ]
        : [],
    );
    // Positions of dropped tokens are gone: the kept pages come first, then the pages after the dropped ones.
    const from = first * PAGE_TOKENS + sequence.dropped;
    const chunk = sequence.tokens.slice(from, from + count * PAGE_TOKENS);
    const repeating = Object.assign(new Sequence(NO_ADAPTERS, sequence.slot, sequence.policy), {
      tokens: [...sequence.tokens.slice(0, PAGE_TOKENS), ...chunk],
      pages,
      branch: { region: MAX_SEQUENCES, sharedPages: pages.length },
    });
    let found: Promise<ArrayBuffer> | undefined;
    try {
      const tokens = [...this.request().slice(-MOST_REQUEST), ...chunk];
      const measured = { first: 1, count };
      await this.compute({ sequence: repeating, tokens, measured }, () => void (found = this.#read()), signal);
      const { sparse } = this.transformer.cache;
      return found && sparse.measuresOf('share', count, new Float32Array(await found));
    } catch (error) {
      if (error instanceof ChunkwiseError && error.code === 'context_overflow') return undefined;
      throw error;
    } finally {
      this.sequences.prune(repeating);
    }
  }

  #read(): Promise<ArrayBuffer> {
    const buffer = this.transformer.cache.sparse.found('share');
    this.recorder.submit();
    return readOnce(this.device, 'entry shares', [{ buffer, offset: 0, size: buffer.size }]);
  }
}

/** Shares of entries that no repetition has measured: the later, the larger, but less than a measured one. */
export const sharesByAge = ({ numLayers, numKvHeads }: ModelConfig, { first, count }: PageRun): EntryMeasures =>
  entryMeasures({ layers: numLayers, pages: count, heads: numKvHeads }, (_, page) =>
    Float32Array.from({ length: PAGE_TOKENS }, (__, i) => 1e-12 * ((first + page) * PAGE_TOKENS + i)),
  );
