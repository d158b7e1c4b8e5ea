import { EXPERT_LINEARS, expertShape, linearShape, linearsOfLayer } from '../architectures/linears.ts';
import { kvBytes } from '../cache/kv-cache.ts';
import {
  configOfLayer,
  hasState,
  headDimOfLayer,
  isConvolved,
  type ModelConfig,
  windowOfLayer,
} from '../config/model-config.ts';
import { quantile } from '../util/numbers.ts';
import { type Adaptation, UNADAPTED } from '../engine/adapters.ts';
import { handled } from '../errors/chunkwise-error.ts';
import { gpuBytes, sum } from '../session/model-plan.ts';
import { greedy, type SampledToken } from '../session/sampling/sampler.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import { anyTokens, fill, prefillAndSample, endSequence } from './steps.ts';
import { type Budget, isMissing, NO_TIME } from './budget.ts';
import type { ContextSpeeds, DecodeSpeed, ModelSpeeds, NotMeasured, PrefillSpeed } from './device-report.ts';
import { withRandomAdapter } from './random-model.ts';

export const CONTEXTS = [256, 2048, 8192];
/** Most steps per figure, and its approximate time. */
const MOST_STEPS = 32;
const CELL_MS = 1500;
const MOST_BATCHES = 3;
/** Assumed share of the ceiling before any figure; slower models may exceed the budget. */
const FIRST_GUESS = 0.1;

/** The device's peak bytes and operations per millisecond; undefined if not measured. */
export interface Ceilings {
  bytesPerMs: number | undefined;
  operationsPerMs: number | undefined;
}

interface SpeedOptions {
  name: string;
  ceilings: Ceilings;
  budget: Budget;
  tell: (what: string) => void;
}

/** Measures an open model within its context and the budget. Errors: `aborted`, `device_lost`. */
export const measureModel = (session: Session, options: SpeedOptions): Promise<ModelSpeeds> =>
  new ModelMeasure(session, options).run();

class ModelMeasure {
  /** Share of the ceilings in the latest figures. */
  #decodeShare = FIRST_GUESS;
  #prefillShare = FIRST_GUESS;

  constructor(
    private readonly session: Session,
    private readonly options: SpeedOptions,
  ) {}

  async run(): Promise<ModelSpeeds> {
    const { session, options } = this;
    const { contextLength } = session.plan;
    const promptTokens = Math.min(CONTEXTS[0] ?? 1, contextLength - 1);
    const plain = await this.contexts(UNADAPTED, options.budget.part(0.6));
    const firstTokenMs = await this.firstToken(promptTokens);
    const adapted = await options.budget.attempt(0, () =>
      withRandomAdapter(session, (adaptation) => this.contexts(adaptation, options.budget)),
    );
    const weightBytes = session.device.buffers.report().weights;
    return {
      ...{ name: options.name, weightBytes, contextLength, promptTokens, firstTokenMs },
      speeds: [
        ...plain,
        ...(isMissing(adapted)
          ? CONTEXTS.map((context) => ({ context, adapter: true, decode: adapted, prefill: adapted }))
          : adapted),
      ],
    };
  }

  async contexts(adaptation: Adaptation, budget: Budget): Promise<ContextSpeeds[]> {
    const adapter = adaptation !== UNADAPTED;
    const speeds: ContextSpeeds[] = [];
    for (const context of CONTEXTS) {
      this.options.tell(`${this.options.name} at ${context} tokens${adapter ? ', with an adapter' : ''}`);
      const prefill = await this.prefill(context, adaptation, budget);
      const decode = await this.decode(context, adaptation, budget);
      speeds.push({ context, adapter, decode, prefill });
    }
    return speeds;
  }

  /** Time to first token of a whole prompt, as in a new chat. Its kernels are compiled by now. */
  async firstToken(promptTokens: number): Promise<number | NotMeasured> {
    const { session, options } = this;
    const expected = this.prefillMs(promptTokens, promptTokens);
    return options.budget.attempt(expected, async (signal) => {
      const sequence = new Sequence();
      try {
        const began = performance.now();
        await prefillAndSample(session, sequence, anyTokens(session, promptTokens), UNADAPTED, signal);
        return performance.now() - began;
      } finally {
        endSequence(session, sequence);
      }
    });
  }

  async decode(context: number, adaptation: Adaptation, budget: Budget): Promise<DecodeSpeed | NotMeasured> {
    const { session, options } = this;
    const tooLong = this.beyond(context);
    if (tooLong) return tooLong;
    const cached = Math.min(context, session.plan.contextLength - MOST_STEPS - 2);
    const bytes = this.stepBytes(adaptation);
    const expected = bytes / ((options.ceilings.bytesPerMs ?? Infinity) * this.#decodeShare);
    return budget.attempt(4 * expected, async (signal) => {
      const sequence = await this.filled(cached - 1);
      try {
        const first = await prefillAndSample(session, sequence, anyTokens(session, 1), adaptation, signal);
        const times = await this.steps(sequence, first, () => signal.aborted || !budget.fits(expected));
        const msPerToken = quantile(times, 0.5);
        const fraction = this.share((bytes + kvBytes(sequence.pages)) / msPerToken, options.ceilings.bytesPerMs);
        this.#decodeShare = fraction ?? this.#decodeShare;
        return {
          msPerToken,
          msPerTokenP95: quantile(times, 0.95),
          tokensPerSecond: 1000 / msPerToken,
          steps: times.length,
          fractionOfMemory: fraction,
        };
      } finally {
        endSequence(session, sequence);
      }
    });
  }

  /** Milliseconds of each step except the first, which compiles; at least one. */
  async steps(sequence: Sequence, first: SampledToken, isOver: () => boolean): Promise<number[]> {
    const { session } = this;
    const times: number[] = [];
    const began = performance.now();
    let sampled = first;
    const next = (): Promise<SampledToken> => {
      const position = sequence.tokens.length + 1;
      sequence.tokens.push(sampled.token); // as in chat, the token counts as cached once its step is submitted
      return handled(session.batches.decode([greedy(sequence, position)]).then(([token]) => token as SampledToken)); // no logits are held
    };
    sampled = await next();
    let pending = next();
    let last = performance.now();
    while (times.length < MOST_STEPS) {
      const isLast = times.length > 0 && (isOver() || performance.now() - began > CELL_MS);
      const current = pending;
      if (!isLast) pending = next();
      sampled = await current;
      if (isLast) break;
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    await pending;
    return times;
  }

  async prefill(context: number, adaptation: Adaptation, budget: Budget): Promise<PrefillSpeed | NotMeasured> {
    const { session, options } = this;
    const tooLong = this.beyond(context);
    if (tooLong) return tooLong;
    const batchTokens = Math.min(session.transformer.batchTokens, context);
    const expected = this.prefillMs(batchTokens, context);
    return budget.attempt(2 * expected, async (signal) => {
      const sequence = await this.filled(context - batchTokens);
      const tokens = anyTokens(session, batchTokens);
      const times: number[] = [];
      try {
        // Skip the first, which compiles.
        for (let batch = 0; batch <= MOST_BATCHES; batch++) {
          const began = performance.now();
          await prefillAndSample(session, sequence, tokens, adaptation, signal);
          const ms = performance.now() - began;
          sequence.text?.close();
          sequence.reusePrefix(context - batchTokens, 0, sequence.policy); // repeat from the same start
          if (batch > 0) times.push(ms);
          if (!budget.fits(batch === 0 ? expected : ms)) break;
        }
        if (times.length === 0) return NO_TIME;
        const ms = quantile(times, 0.5);
        const fraction = this.share(
          this.operations(batchTokens, context, adaptation) / ms,
          options.ceilings.operationsPerMs,
        );
        this.#prefillShare = fraction ?? this.#prefillShare;
        return { tokensPerSecond: (1000 * batchTokens) / ms, batchTokens, fractionOfCompute: fraction };
      } finally {
        endSequence(session, sequence);
      }
    });
  }

  async filled(tokens: number): Promise<Sequence> {
    const sequence = new Sequence();
    await fill(this.session, sequence, anyTokens(this.session, tokens));
    return sequence;
  }

  beyond(tokens: number): NotMeasured | undefined {
    const { contextLength } = this.session.plan;
    return tokens > contextLength ? { notMeasured: `beyond the context of ${contextLength} tokens` } : undefined;
  }

  /** Bytes of weights and adapters that a step reads: without an untied embedding matrix and unused experts. */
  stepBytes(adaptation: Adaptation): number {
    const { device, plan } = this.session;
    const { weights, adapters } = device.buffers.report();
    const unread = plan.config.tiedEmbeddings ? 0 : (plan.tensors.get('token_embd.weight')?.bytes ?? 0);
    const { experts } = plan.config;
    const unused = experts
      ? (1 - experts.used / experts.count) *
        sum([...plan.tensors.values()].filter(({ name }) => name.includes('_exps')).map(gpuBytes))
      : 0;
    return weights - unread - unused + (adaptation === UNADAPTED ? 0 : adapters);
  }

  prefillMs(tokens: number, context: number): number {
    const { operationsPerMs = Infinity } = this.options.ceilings;
    return this.operations(tokens, context, UNADAPTED) / (operationsPerMs * this.#prefillShare);
  }

  /** Operations of a batch of `tokens` that ends at `context`, and of one token's logits. */
  operations(tokens: number, context: number, adaptation: Adaptation): number {
    const { config } = this.session.plan;
    const { numLayers, numHeads, hiddenSize, vocabSize } = config;
    const attending = Array.from({ length: numLayers }, (_, layer) => layer).filter(
      (layer) => !isConvolved(config, layer) && !hasState(config, layer),
    );
    const seen = attending.map(
      (layer) =>
        headDimOfLayer(config, layer) * Math.min(windowOfLayer(config, layer) ?? Infinity, context - tokens / 2),
    );
    const attention = 4 * tokens * numHeads * sum(seen);
    const rank = adaptation === UNADAPTED ? 0 : 16;
    return 2 * tokens * linearWeights(config, rank) + attention + 2 * hiddenSize * vocabSize;
  }

  share(perMs: number, ceiling: number | undefined): number | null {
    return ceiling === undefined ? null : perMs / ceiling;
  }
}

/** Weights that a token is multiplied by in all layers: linears, used experts, per-layer inputs, and an adapter of `rank`. */
const linearWeights = (config: ModelConfig, rank: number): number =>
  sum(
    Array.from({ length: config.numLayers }, (_, layer) =>
      linearsOfLayer(config, layer).map((name) => linearShape(configOfLayer(config, layer), name)),
    )
      .flat()
      .map(([rows, columns]) => rows * columns + rank * (rows + columns)),
  ) +
  expertWeights(config) +
  inputWeights(config);

/** Weights of the per-layer inputs: projection, gate and output. */
const inputWeights = ({ numLayers, hiddenSize, perLayerInputs = 0 }: ModelConfig): number =>
  3 * numLayers * perLayerInputs * hiddenSize;

function expertWeights(config: ModelConfig): number {
  const { numLayers, hiddenSize, experts } = config;
  if (!experts) return 0;
  const ofOne = sum(EXPERT_LINEARS.map((name) => expertShape(config, name)).map(([rows, columns]) => rows * columns));
  return (numLayers - experts.firstLayer) * (experts.count * hiddenSize + experts.used * ofOne);
}
