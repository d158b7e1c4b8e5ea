import type { SamplingOptions } from '../config/sampling.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { SEARCH_ROUNDS, samplingBytes, samplingGroups, samplingKernels } from '../kernels/sampling.ts';

/** In `counts`: the token stands in the prompt. The rest counts it in the answer. */
const PROMPT_FLAG = 0x80000000;

/** GPU bytes of a sampler's own buffers. */
export function samplerBytes(device: Device, vocabSize: number): number {
  const { scanner, bins, searches } = samplingBytes(device);
  return 2 * vocabSize * 4 + 3 * scanner + bins + searches;
}

/** Its product with a difference of logits may be infinite, itself it may not: 0 · ∞ is NaN. */
const MAX_INVERSE_TEMPERATURE = 1e30;

/** Draws the next token on the GPU: from `logits [vocabSize]`, which it changes, to `tokens[0]`. */
export class Sampler {
  readonly #counts: GPUBuffer;
  readonly #bias: GPUBuffer;
  readonly #adjust: Record<'on' | 'off', Operation>;
  readonly #pick: Record<'on' | 'off' | 'drawn' | 'drawnOn', Operation>;
  readonly #search: Operation;
  readonly #mask: Operation;
  readonly #draw: Operation;

  constructor(
    private readonly device: Device,
    private readonly vocabSize: number,
    logits: GPUBuffer,
    tokens: GPUBuffer,
  ) {
    const { buffers } = device;
    const bytes = samplingBytes(device);
    const activation = (label: string, size: number) => buffers.storage(label, 'activations', size);
    this.#counts = activation('token counts', vocabSize * 4);
    this.#bias = activation('token bias', vocabSize * 4);
    const best_logits = activation('best logits', bytes.scanner);
    const drawn_scores = activation('drawn scores', bytes.scanner);
    const best_tokens = activation('best tokens', bytes.scanner);
    const bins = activation('search bins', bytes.bins);
    const searches = activation('searches', bytes.searches);
    const counts = this.#counts;
    const kernels = samplingKernels(device, vocabSize);
    const adjust = (on: boolean): Operation =>
      createOperation(device, kernels.adjust(on), { counts, token_bias: this.#bias, logits, best_logits, best_tokens });
    const pick = (on: boolean, scores: GPUBuffer): Operation =>
      createOperation(device, kernels.pick(on), { scores, best_tokens, counts, tokens });
    this.#adjust = { on: adjust(true), off: adjust(false) };
    this.#pick = {
      on: pick(true, best_logits),
      off: pick(false, best_logits),
      drawn: pick(false, drawn_scores),
      drawnOn: pick(true, drawn_scores),
    };
    this.#search = createOperation(device, kernels.search, { logits, best_logits, bins, searches });
    this.#mask = createOperation(device, kernels.mask, { logits, best_logits, bins, searches });
    this.#draw = createOperation(device, kernels.draw, { logits, best_logits, drawn_scores, best_tokens });
  }

  /** Before a request's first token: what penalties and bias need to know. */
  begin(options: SamplingOptions, prompt: readonly number[]): void {
    if (!adjusts(options)) return;
    const { queue } = this.device.gpuDevice;
    const counts = new Uint32Array(this.vocabSize);
    for (const token of prompt) counts[token] = PROMPT_FLAG;
    queue.writeBuffer(this.#counts, 0, counts);
    const bias = new Float32Array(this.vocabSize);
    for (const [token, value] of options.logitBias) bias[token] = value;
    queue.writeBuffer(this.#bias, 0, bias);
  }

  /** `position`: of the token to draw; with the seed it decides the draw. */
  record(recorder: Recorder, options: SamplingOptions, position: number): void {
    const groups = samplingGroups(this.device);
    const adjusted = adjusts(options);
    recorder.run(this.#adjust[adjusted ? 'on' : 'off'], groups, {
      repetition: options.repetitionPenalty,
      presence: options.presencePenalty,
      frequency: options.frequencyPenalty,
    });
    if (options.temperature === 0) {
      recorder.run(this.#pick[adjusted ? 'on' : 'off'], [1]);
      return;
    }
    const inverseTemperature = Math.min(1 / options.temperature, MAX_INVERSE_TEMPERATURE);
    const { topK, topP, minP, seed } = options;
    if (topK > 0 && topK < this.vocabSize) this.#filter(recorder, { inverseTemperature, byMass: 0 }, topK);
    if (topP < 1) this.#filter(recorder, { inverseTemperature, byMass: 1 }, topP);
    const logMinP = minP > 0 ? Math.log(minP) : -3e38;
    recorder.run(this.#draw, groups, { inverseTemperature, logMinP, seed, position });
    recorder.run(this.#pick[adjusted ? 'drawnOn' : 'drawn'], [1]);
  }

  #filter(recorder: Recorder, params: { inverseTemperature: number; byMass: number }, goal: number): void {
    const groups = samplingGroups(this.device);
    for (let round = 0; round < SEARCH_ROUNDS; round++) recorder.run(this.#search, groups, { ...params, goal, round });
    recorder.run(this.#mask, groups, params);
  }
}

const adjusts = ({ repetitionPenalty, presencePenalty, frequencyPenalty, logitBias }: SamplingOptions): boolean =>
  repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0 || logitBias.size > 0;
