import type { RampRow } from '../../chunking/ramps.ts';
import { FEW_TOKENS, MAX_SEQUENCES } from '../../config/limits.ts';
import { type SamplingOptions, GREEDY } from '../../config/sampling.ts';
import type { Device } from '../../gpu/device.ts';
import {
  type BufferRange,
  createOperation,
  type Operation,
  Readback,
  readOnce,
  type Recorder,
} from '../../gpu/recorder.ts';
import { SEARCH_ROUNDS, samplingBytes, samplingKernels } from '../../kernels/sampling.ts';
import type { Transformer } from '../../models/transformer.ts';
import type { Sequence } from '../sequence.ts';
import { MOST_AHEAD } from '../../gpu/submissions.ts';
import { LEVEL_BYTES, LEVEL_ROWS_BYTES, LevelControl, type LevelOptions } from './level-control.ts';

/** Flag in `counts`: the token is in the prompt. The other bits count it in the answer. */
const PROMPT_FLAG = 0x80000000;

/** GPU bytes of a sampler's own buffers. */
export function samplerBytes(device: Device, vocabSize: number): number {
  const { tile, softmaxes, bins, searches, ties } = samplingBytes(device, vocabSize);
  return MAX_SEQUENCES * (2 * vocabSize + 1) * 4 + 3 * tile + softmaxes + bins + searches + ties;
}

/** The product with a difference of logits may be infinite, but not the factor: 0 · ∞ is NaN. */
const MAX_INVERSE_TEMPERATURE = 1e30;

/** Inputs of a sample. */
export interface SamplerInput {
  /** Sequence slot. */
  slot: number;
  sampling: SamplingOptions;
  /** Position of the token to sample; seed and position decide the random number. */
  position: number;
  /** Computes the entropy of the raw logits, over ln vocabSize: 0 is certain, 1 is uniform. */
  wantsEntropy: boolean;
  /** Mask of allowed tokens, `[ceil(vocabSize / 32)]`, lowest bit first; default: all. */
  allowed?: Uint32Array<ArrayBuffer> | undefined;
}

/** Tokens that penalties count. */
export interface CountedText {
  prompt: readonly number[];
  answer: readonly number[];
}

/** Words of a row of allowed tokens. */
const allowedWords = (vocabSize: number): number => Math.ceil(vocabSize / 32);

interface Operations {
  adjust: Operation<void>;
  /** After adjust, and after sample. */
  pick: Operation<void>;
  pickSampled: Operation<void>;
}

/** Samples the next token of each slot on the GPU: reads and changes a row of `logits`, and writes `tokens[slot]`. */
export class Sampler {
  /** Entropy of each slot's last logits, if requested: `[MAX_SEQUENCES]`, f32. */
  readonly entropy: GPUBuffer;
  /** `[MAX_SEQUENCES, vocabSize]` each. */
  readonly #counts: GPUBuffer;
  readonly #bias: GPUBuffer;
  readonly #plain: Record<'token' | 'entropy', Operations>;
  readonly #adjusted: Record<'token' | 'entropy', Operations>;
  readonly #search: Operation<void>;
  readonly #mask: Operation<void>;
  readonly #sample: Operation<void>;
  /** Masks of each row of logits, `[FEW_TOKENS, ceil(vocabSize / 32)]`; made for the first grammar. */
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
    this.entropy = activation('entropy', MAX_SEQUENCES * 4);
    this.#counts = activation('token counts', MAX_SEQUENCES * vocabSize * 4);
    this.#bias = activation('token bias', MAX_SEQUENCES * vocabSize * 4);
    const best_logits = activation('best logits', bytes.tile);
    const sampled_scores = activation('sampled scores', bytes.tile);
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
        pickSampled: createOperation(device, pick, { scores: sampled_scores, ...picked }),
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
    this.#sample = createOperation(device, kernels.sample, { logits, best_logits, sampled_scores, best_tokens });
  }

  /** Resolves when the kernels for samples with masks are compiled. Errors: `kernel_refused`. */
  async prepareMasks(options: SamplingOptions): Promise<void> {
    for (const wantsEntropy of [false, true]) this.#listed(adjusts(options), wantsEntropy);
    await this.device.pipelines.ready();
  }

  /** Before a request's first token: writes counts for penalties, and biases. */
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

  /** Counts tokens again that were sampled and then rejected. */
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
    const { adjust, pick, pickSampled } = operations[wantsEntropy ? 'entropy' : 'token'];
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
    recorder.run(this.#sample, this.#sample.groups(), { row, inverseTemperature, logMinP, seed, position });
    recorder.run(pickSampled, pickSampled.groups(), { slot });
  }

  /** Writes the mask of a row; the sample must be submitted before another of that row is recorded. */
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

/** Makes each operation when it is first needed. */
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

/** A sample of a sequence's next token. */
export interface SampleRequest extends Omit<SamplerInput, 'slot'> {
  sequence: Sequence;
  /**
   * A mask that depends on the token before: the forward pass runs at once, and the sample waits for it. Resolves
   * with undefined if no token is allowed, so that the step is discarded.
   */
  allowedLater?: Promise<Uint32Array<ArrayBuffer> | undefined> | undefined;
  /** How the GPU chooses the rank level of the sampled token. */
  level?: LevelOptions | undefined;
  /** Reads the raw logits back. */
  wantsLogits?: boolean;
}

/** Cost of a step, shared among its tokens. */
export interface StepCost {
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
}

export interface SampledToken extends StepCost {
  token: number;
  /** Set if requested. */
  entropy: number | undefined;
  /** `[vocabSize]`: the model's logits before the sampler changes them, if requested. */
  logits?: Float32Array | undefined;
  /** Its adapter row, if the GPU chose it. */
  row?: RampRow;
  /** Level state after a verified token. */
  levelState?: ArrayBuffer;
}

/** A computed step, with its token if that is sampled already. */
export type StepResult = SampledToken | StepCost;

/** A sample of the likeliest token; if the GPU chooses levels, of the next level too. */
export function greedy(sequence: Sequence, position: number): SampleRequest {
  const level = sequence.text?.follow?.options;
  return { sequence, sampling: GREEDY, position, wantsEntropy: level !== undefined, level };
}

/** Natural logarithm of the sum of the exponentials. */
export function logSumExp(logits: Float32Array): number {
  let maximum = -Infinity;
  for (const logit of logits) if (logit > maximum) maximum = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - maximum);
  return Math.log(sum) + maximum;
}

/** Most results in flight: one of each slot, and those of steps ahead. */
const RESULTS_AHEAD = MAX_SEQUENCES + 1 + MOST_AHEAD;
/** Bytes of one word per slot. */
const SLOT_BYTES = MAX_SEQUENCES * 4;

/** Bytes of a verified token: token, entropy, level state and row. */
const SAMPLED_BYTES = 8 + LEVEL_BYTES;

/** Samples tokens from a batch's logits on the GPU, and chooses their rank levels. */
export class SampleRecorder {
  readonly sampler: Sampler;
  readonly levels: LevelControl;
  readonly #rawLogits: RawLogits;
  readonly #readback: Readback;
  /** Samples after each draft token, and their readback; made for the first draft. */
  #verified: { sampled: GPUBuffer; readback: Readback } | undefined;

  constructor(
    private readonly device: Device,
    private readonly transformer: Transformer,
    private readonly recorder: Recorder,
  ) {
    const { activations, arena, config } = transformer;
    this.sampler = new Sampler(device, config.vocabSize, activations.logits, activations.tokens);
    this.levels = new LevelControl(device, arena, this.sampler.entropy);
    this.#rawLogits = new RawLogits(device, activations.logits, config.vocabSize);
    this.#readback = new Readback(device, 'sampled', 2 * SLOT_BYTES + LEVEL_ROWS_BYTES, RESULTS_AHEAD);
  }

  /** Records samples after consecutive tokens of the recorded batch, from `start` on. */
  record(start: number, samples: readonly SampleRequest[]): void {
    this.transformer.head(this.recorder, start, samples.length);
    samples.forEach((sample, row) => {
      if (sample.wantsLogits || sample.allowedLater) this.#rawLogits.copy(this.recorder, row, sample.sequence.slot);
      if (!sample.allowedLater) this.#sample(sample, row);
    });
  }

  /**
   * Records samples of one sequence after each token of the recorded batch, each as if the one before was accepted;
   * submits. A sample after a rejected token has no meaning.
   */
  async verify(samples: readonly SampleRequest[], dispatchesBefore: number): Promise<SampledToken[]> {
    const { device, recorder, transformer, sampler, levels } = this;
    this.#verified ??= {
      sampled: device.buffers.storage('verified', 'activations', FEW_TOKENS * SAMPLED_BYTES),
      readback: new Readback(device, 'verified', FEW_TOKENS * SAMPLED_BYTES, 1),
    };
    const { sampled, readback } = this.#verified;
    transformer.head(recorder, 0, samples.length);
    samples.forEach((sample, row) => {
      this.#sample(sample, row);
      const { slot } = sample.sequence;
      const wanted = [
        { buffer: transformer.activations.tokens, offset: slot * 4, size: 4 },
        { buffer: sampler.entropy, offset: slot * 4, size: 4 },
        ...(sample.level ? levels.of(slot) : []),
      ];
      let at = row * SAMPLED_BYTES;
      for (const { buffer, offset, size } of wanted) {
        recorder.copy(buffer, offset, sampled, at, size);
        at += size;
      }
    });
    const cost = this.#costOf(samples.length, dispatchesBefore);
    const bytes = await readback.submit(recorder, [
      { buffer: sampled, offset: 0, size: samples.length * SAMPLED_BYTES },
    ]);
    return samples.map(({ wantsEntropy, level }, row) => {
      const own = bytes.slice(row * SAMPLED_BYTES, (row + 1) * SAMPLED_BYTES);
      const [token = 0] = new Uint32Array(own);
      const entropy = wantsEntropy ? new Float32Array(own)[1] : undefined;
      return {
        token,
        entropy,
        ...(level && LevelControl.stateOf(own.slice(8))),
        ...cost,
      };
    });
  }

  /** Undoes the samples of `verify` after the first `count`. `text`: with the accepted tokens. */
  takeBack(
    { sequence: { slot }, sampling }: SampleRequest,
    sampled: readonly SampledToken[],
    count: number,
    text: CountedText,
  ): void {
    const last = sampled[count - 1];
    if (!last || count === sampled.length) return;
    this.device.gpuDevice.queue.writeBuffer(
      this.transformer.activations.tokens,
      slot * 4,
      new Uint32Array([last.token]),
    );
    const rejected = sampled.slice(count).map(({ token }) => token);
    this.sampler.recount(slot, sampling, rejected, text);
    if (last.levelState) this.levels.restore(slot, last.levelState);
  }

  /** Records the sample of a step whose logits were held, once the mask is known. */
  recordHeld(sample: SampleRequest): void {
    this.#rawLogits.copyBack(this.recorder, sample.sequence.slot, 0);
    this.#sample(sample, 0);
  }

  #sample({ sequence: { slot }, level, ...input }: SampleRequest, row: number): void {
    this.sampler.record(this.recorder, row, { ...input, slot });
    if (level) this.levels.record(this.recorder, slot, level);
  }

  #costOf(samples: number, dispatchesBefore: number): StepCost {
    const { recorder, transformer } = this;
    const dispatchesPerToken = (recorder.dispatches - dispatchesBefore) / samples;
    return { dispatchesPerToken, dispatchesPerLayer: transformer.dispatchesPerLayer };
  }

  /** Submits. `dispatchesBefore`: the recorder's count before the batch. */
  async read(samples: readonly SampleRequest[], dispatchesBefore: number): Promise<StepResult[]> {
    const { recorder, sampler, transformer } = this;
    const cost = this.#costOf(samples.length, dispatchesBefore);
    if (samples.every(({ allowedLater }) => allowedLater !== undefined)) {
      recorder.submit();
      return samples.map(() => cost);
    }
    const submitted = this.#readback.submit(recorder, [
      { buffer: transformer.activations.tokens, offset: 0, size: SLOT_BYTES },
      { buffer: sampler.entropy, offset: 0, size: SLOT_BYTES },
      ...(samples.some(({ level }) => level) ? [this.levels.rows] : []),
    ]);
    // They are of this step: nothing is submitted in between.
    const wanted = samples.map(({ wantsLogits, allowedLater, sequence: { slot } }) =>
      wantsLogits && !allowedLater ? this.#rawLogits.read(slot) : undefined,
    );
    const [bytes, ...logits] = await Promise.all([submitted, ...wanted]);
    const tokens = new Uint32Array(bytes, 0, MAX_SEQUENCES);
    const entropies = new Float32Array(bytes, SLOT_BYTES, MAX_SEQUENCES);
    return samples.map(({ sequence: { slot }, wantsEntropy, level }, i) => ({
      token: tokens[slot] as number,
      logits: logits[i],
      entropy: wantsEntropy ? entropies[slot] : undefined,
      row: level && LevelControl.rowOf(bytes, 2 * SLOT_BYTES, slot),
      ...cost,
    }));
  }
}

/**
 * Copies of logits before the sampler changes them, for requests that ask for log-probabilities, or whose mask is not
 * known yet.
 */
export class RawLogits {
  /** `[MAX_SEQUENCES, vocabSize]`; made when it is first needed. */
  #rows: GPUBuffer | undefined;
  readonly #rowBytes: number;

  constructor(
    private readonly device: Device,
    private readonly logits: GPUBuffer,
    vocabSize: number,
  ) {
    this.#rowBytes = vocabSize * 4;
  }

  /** Records a copy of a row of `logits` into the slot, before it is sampled. */
  copy(recorder: Recorder, row: number, slot: number): void {
    this.#rows ??= this.device.buffers.storage('raw logits', 'activations', MAX_SEQUENCES * this.#rowBytes);
    recorder.copy(this.logits, row * this.#rowBytes, this.#rows, slot * this.#rowBytes, this.#rowBytes);
  }

  /** Records a copy of the slot's logits into a row of `logits`. */
  copyBack(recorder: Recorder, slot: number, row: number): void {
    const { buffer, offset, size } = this.#rowOf(slot);
    recorder.copy(buffer, offset, this.logits, row * size, size);
  }

  /** The slot's logits after the last submission. Errors: `device_lost`. */
  async read(slot: number): Promise<Float32Array> {
    return new Float32Array(await readOnce(this.device, 'raw logits', [this.#rowOf(slot)]));
  }

  #rowOf(slot: number): BufferRange {
    if (!this.#rows) throw new Error('no raw logits');
    return { buffer: this.#rows, offset: slot * this.#rowBytes, size: this.#rowBytes };
  }
}
