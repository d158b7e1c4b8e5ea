import { FEW_TOKENS } from '../../config/few-tokens.ts';
import { MAX_STREAMS } from '../../config/max-streams.ts';
import type { SamplingOptions } from '../../config/sampling.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { SEARCH_ROUNDS, samplingBytes, samplingKernels } from '../../kernels/sampling.ts';

/** In `counts`: the token stands in the prompt. The rest counts it in the answer. */
const PROMPT_FLAG = 0x80000000;

/** GPU bytes of a sampler's own buffers. */
export function samplerBytes(device: Device, vocabSize: number): number {
  const { tile, softmaxes, bins, searches, ties } = samplingBytes(device, vocabSize);
  return MAX_STREAMS * (2 * vocabSize + 1) * 4 + 3 * tile + softmaxes + bins + searches + ties;
}

/** Its product with a difference of logits may be infinite, itself it may not: 0 · ∞ is NaN. */
const MAX_INVERSE_TEMPERATURE = 1e30;

/** What is drawn, for whom. */
export interface SamplerInput {
  /** Of the stream. */
  slot: number;
  sampling: SamplingOptions;
  /** Of the token to draw; with the seed it decides the draw. */
  position: number;
  /** Computes the entropy of the raw logits, over ln vocabSize: 0 is certain, 1 knows nothing. */
  wantsEntropy: boolean;
  /** Tokens that may be drawn, a bit each `[ceil(vocabSize / 32)]`, the lowest bit first; default: all. */
  allowed?: Uint32Array<ArrayBuffer> | undefined;
}

/** What penalties go by. */
export interface CountedText {
  prompt: readonly number[];
  answer: readonly number[];
}

/** Words of a row of allowed tokens. */
const allowedWords = (vocabSize: number): number => Math.ceil(vocabSize / 32);

interface Operations {
  adjust: Operation<void>;
  /** After adjust, and after draw. */
  pick: Operation<void>;
  pickDrawn: Operation<void>;
}

/** Draws the next token of each stream on the GPU: from a row of `logits`, which it changes, to `tokens[slot]`. */
export class Sampler {
  /** Of the last logits of each stream that wanted it `[MAX_STREAMS]`, f32. */
  readonly entropy: GPUBuffer;
  /** `[MAX_STREAMS, vocabSize]` each. */
  readonly #counts: GPUBuffer;
  readonly #bias: GPUBuffer;
  readonly #plain: Record<'token' | 'entropy', Operations>;
  readonly #adjusted: Record<'token' | 'entropy', Operations>;
  readonly #search: Operation<void>;
  readonly #mask: Operation<void>;
  readonly #draw: Operation<void>;
  /** Of each row of logits, `[FEW_TOKENS, ceil(vocabSize / 32)]`, and what reads it: made when a stream first has a grammar. */
  #allowed: GPUBuffer | undefined;
  readonly #listed: (adjust: boolean, entropy: boolean) => Operation<void>;

  constructor(
    private readonly device: Device,
    private readonly vocabSize: number,
    logits: GPUBuffer,
    tokens: GPUBuffer,
  ) {
    const { buffers } = device;
    const bytes = samplingBytes(device, vocabSize);
    const activation = (label: string, size: number) => buffers.storage(label, 'activations', size);
    this.entropy = activation('entropy', MAX_STREAMS * 4);
    this.#counts = activation('token counts', MAX_STREAMS * vocabSize * 4);
    this.#bias = activation('token bias', MAX_STREAMS * vocabSize * 4);
    const best_logits = activation('best logits', bytes.tile);
    const drawn_scores = activation('drawn scores', bytes.tile);
    const best_tokens = activation('best tokens', bytes.tile);
    const softmaxes = activation('softmaxes', bytes.softmaxes);
    const bins = activation('search bins', bytes.bins);
    const searches = activation('searches', bytes.searches);
    const ties = activation('ties', bytes.ties);
    const kernels = samplingKernels(device, vocabSize);
    const picked = { best_tokens, counts: this.#counts, tokens, softmaxes, entropy: this.entropy };
    const adjusted = { counts: this.#counts, token_bias: this.#bias, logits, best_logits, best_tokens, softmaxes };
    const operations = (adjust: boolean, entropy: boolean): Operations => {
      const extras = { adjust, entropy, listed: false };
      const pick = kernels.pick(extras);
      return {
        adjust: createOperation(device, kernels.adjust(extras), adjusted),
        pick: createOperation(device, pick, { scores: best_logits, ...picked }),
        pickDrawn: createOperation(device, pick, { scores: drawn_scores, ...picked }),
      };
    };
    this.#plain = { token: operations(false, false), entropy: operations(false, true) };
    this.#adjusted = { token: operations(true, false), entropy: operations(true, true) };
    this.#listed = remember((adjust, entropy) => {
      const extras = { adjust, entropy, listed: true };
      return createOperation(device, kernels.adjust(extras), { ...adjusted, allowed: this.#allowedRows() });
    });
    this.#search = createOperation(device, kernels.search, { logits, best_logits, bins, searches, ties });
    this.#mask = createOperation(device, kernels.mask, { logits, best_logits, bins, searches, ties });
    this.#draw = createOperation(device, kernels.draw, { logits, best_logits, drawn_scores, best_tokens });
  }

  /** Before a request's first token: what penalties and bias need to know. */
  begin(slot: number, options: SamplingOptions, prompt: readonly number[]): void {
    if (!adjusts(options)) return;
    const { queue } = this.device.gpuDevice;
    const offset = slot * this.vocabSize * 4;
    const counts = new Uint32Array(this.vocabSize);
    for (const token of prompt) counts[token] = PROMPT_FLAG;
    queue.writeBuffer(this.#counts, offset, counts);
    const bias = new Float32Array(this.vocabSize);
    for (const [token, value] of options.logitBias) bias[token] = value;
    queue.writeBuffer(this.#bias, offset, bias);
  }

  /** Tokens that were counted as drawn and were not: counts them anew. */
  recount(slot: number, options: SamplingOptions, tokens: readonly number[], { prompt, answer }: CountedText): void {
    if (!adjusts(options)) return;
    for (const token of new Set(tokens)) {
      const count = answer.filter((other) => other === token).length;
      const word = new Uint32Array([(prompt.includes(token) ? PROMPT_FLAG : 0) + count]);
      this.device.gpuDevice.queue.writeBuffer(this.#counts, (slot * this.vocabSize + token) * 4, word);
    }
  }

  /** `row`: of `logits`. */
  record(recorder: Recorder, row: number, { slot, sampling, position, wantsEntropy, allowed }: SamplerInput): void {
    const operations = adjusts(sampling) ? this.#adjusted : this.#plain;
    const { adjust, pick, pickDrawn } = operations[wantsEntropy ? 'entropy' : 'token'];
    if (allowed) this.#allow(row, allowed);
    const first = allowed ? this.#listed(adjusts(sampling), wantsEntropy) : adjust;
    recorder.run(first, first.groups(), {
      ...{ row, slot },
      repetition: sampling.repetitionPenalty,
      presence: sampling.presencePenalty,
      frequency: sampling.frequencyPenalty,
    });
    if (sampling.temperature === 0) {
      recorder.run(pick, pick.groups(), { slot });
      return;
    }
    const inverseTemperature = Math.min(1 / sampling.temperature, MAX_INVERSE_TEMPERATURE);
    const { topK, topP, minP, seed } = sampling;
    if (topK > 0 && topK < this.vocabSize) this.#filter(recorder, { row, inverseTemperature, byMass: 0 }, topK);
    if (topP < 1) this.#filter(recorder, { row, inverseTemperature, byMass: 1 }, topP);
    const logMinP = minP > 0 ? Math.log(minP) : -3e38;
    recorder.run(this.#draw, this.#draw.groups(), { row, inverseTemperature, logMinP, seed, position });
    recorder.run(pickDrawn, pickDrawn.groups(), { slot });
  }

  /** What the draw from a row may give; it must be submitted before another from that row is recorded. */
  #allow(row: number, allowed: Uint32Array<ArrayBuffer>): void {
    const words = allowedWords(this.vocabSize);
    if (allowed.length !== words) throw new Error(`sampler: ${allowed.length} words of allowed tokens, not ${words}`);
    this.device.gpuDevice.queue.writeBuffer(this.#allowedRows(), row * words * 4, allowed);
  }

  #allowedRows(): GPUBuffer {
    const { buffers } = this.device;
    return (this.#allowed ??= buffers.storage(
      'allowed tokens',
      'activations',
      FEW_TOKENS * allowedWords(this.vocabSize) * 4,
    ));
  }

  #filter(recorder: Recorder, params: { row: number; inverseTemperature: number; byMass: number }, goal: number): void {
    const groups = this.#search.groups();
    for (let round = 0; round < SEARCH_ROUNDS; round++) recorder.run(this.#search, groups, { ...params, goal, round });
    recorder.run(this.#mask, this.#mask.groups(), { ...params, goal });
  }
}

const adjusts = ({ repetitionPenalty, presencePenalty, frequencyPenalty, logitBias }: SamplingOptions): boolean =>
  repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0 || logitBias.size > 0;

/** Each operation is made when it is first needed. */
function remember(
  create: (adjust: boolean, entropy: boolean) => Operation<void>,
): (adjust: boolean, entropy: boolean) => Operation<void> {
  const made = new Map<string, Operation<void>>();
  return (adjust, entropy) => {
    const key = `${adjust} ${entropy}`;
    const operation = made.get(key) ?? create(adjust, entropy);
    made.set(key, operation);
    return operation;
  };
}
