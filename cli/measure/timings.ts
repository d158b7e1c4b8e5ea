import { kvBytes } from '../../src/cache/kv-cache.ts';
import { type CachePolicy, DENSE, type KvOptions, policyOf } from '../../src/cache/policy.ts';
import type { Groups, Params } from '../../src/gpu/kernel.ts';
import type { Dispatcher, Operation } from '../../src/gpu/recorder.ts';
import { FIRST_PREFILL_TOKEN } from '../../src/layers/batch.ts';
import { type Adaptation, UNADAPTED } from '../../src/engine/adapters.ts';
import { type SampledToken, greedy } from '../../src/session/sampling/sampler.ts';
import { anyTokens, fill, prefillAndSample, endSequence } from '../../src/measure/steps.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';
import { quantile } from '../../src/util/numbers.ts';
import { type Call, timeCalls, measureStreaming } from '../../src/measure/ceilings.ts';
import { partialFloats } from '../../src/kernels/attention.ts';
import { UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';

export interface Timing {
  /** Cached tokens before the first measured step. */
  context: number;
  /** Sequences per step. */
  streams: number;
  msPerStep: { median: number; p95: number };
  /** Per-token figures are per-step figures over the number of sequences. */
  msPerToken: { median: number; p95: number };
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
  /** Least bytes that a step reads, per token: weights, all loaded adapters if any is used, and the sequences' pages. */
  bytesPerToken: number;
  gbPerSecond: number;
  /** Share of the device's fastest streaming speed, measured directly afterwards. */
  ratioToStreamingRead: number;
}

export interface DecodeOptions {
  /** Policy of the KV cache; default: dense. */
  policy?: CachePolicy;
  /** Cached text, which matters to policies; default: arbitrary tokens. */
  text?: readonly number[];
}

/**
 * Times `steps` greedy decode steps after `context` tokens with one step submitted ahead, as in chat. `adaptations`: one per
 * sequence.
 */
export async function measureDecode(
  session: Session,
  context: number,
  steps: number,
  adaptations: readonly Adaptation[] = [UNADAPTED],
  options?: DecodeOptions,
): Promise<Timing> {
  const { transformer, device } = session;
  const streams = adaptations.length;
  const { times, dispatches, cacheBytes } = await timeSteps(session, context, steps, adaptations, options);
  const msPerStep = { median: quantile(times, 0.5), p95: quantile(times, 0.95) };
  const { weights, adapters } = device.buffers.report();
  const loaded = adaptations.some((adaptation) => adaptation !== UNADAPTED) ? adapters : 0;
  const bytesPerStep = weights + loaded + cacheBytes;
  const gbPerSecond = bytesPerStep / msPerStep.median / 1e6;
  return {
    context,
    streams,
    msPerStep,
    msPerToken: { median: msPerStep.median / streams, p95: msPerStep.p95 / streams },
    dispatchesPerToken: dispatches / streams,
    dispatchesPerLayer: transformer.dispatchesPerLayer,
    bytesPerToken: Math.round(bytesPerStep / streams),
    gbPerSecond,
    ratioToStreamingRead: gbPerSecond / (await measureStreamingRead(session)),
  };
}

/** Milliseconds of each step, dispatches per step, and bytes of the pages after the last step. */
export async function timeSteps(
  session: Session,
  context: number,
  steps: number,
  adaptations: readonly Adaptation[],
  { policy = DENSE, text = anyTokens(session, context) }: DecodeOptions = {},
): Promise<{ times: number[]; dispatches: number; cacheBytes: number }> {
  const { recorder } = session;
  const sequences = adaptations.map((_, slot) => new Sequence(undefined, slot, policy));
  const decode = (position: number): Promise<SampledToken[]> => {
    const sampled = session.batches.decode(sequences.map((sequence) => greedy(sequence, position))) as Promise<
      SampledToken[]
    >; // no logits are held
    sampled.catch(() => undefined); // after a failure, later steps are not awaited
    return sampled;
  };
  // As in chat, a token counts as cached once it is read and its step is submitted; policies depend on that.
  const keep = (sampled: readonly SampledToken[]): void =>
    sequences.forEach(({ tokens }, i) => tokens.push(sampled[i]?.token ?? 0));
  const times: number[] = [];
  try {
    const first: SampledToken[] = [];
    for (const [i, sequence] of sequences.entries()) {
      first.push(await prefillAndSample(session, sequence, text.slice(0, context), adaptations[i]));
    }
    const before = recorder.dispatches;
    let pending = decode(context + 1);
    keep(first);
    let last = performance.now();
    // Skip the first step, in which the driver may still compile.
    for (let step = 0; step <= steps; step++) {
      const current = pending;
      pending = decode(context + step + 2);
      keep(await current);
      const now = performance.now();
      if (step > 0) times.push(now - last);
      last = now;
    }
    await pending;
    const dispatches = (recorder.dispatches - before) / (steps + 2);
    return { times, dispatches, cacheBytes: sequences.reduce((sum, { pages }) => sum + kvBytes(pages), 0) };
  } finally {
    for (const sequence of sequences) endSequence(session, sequence);
  }
}

/** Times the prefill of `tokens`, `repeats` times. The text matters with an adapter or a policy. */
export async function measurePrefill(
  session: Session,
  tokens: readonly number[],
  repeats: number,
  adaptation?: Adaptation,
  policy?: CachePolicy,
) {
  const { recorder, transformer, device } = session;
  const context = tokens.length;
  const times: number[] = [];
  const before = recorder.dispatches;
  // Skip the first, which compiles.
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const ms = await timePrefill(session, tokens, adaptation, policy);
    if (repeat > 0) times.push(ms);
  }
  const median = quantile(times, 0.5);
  // Each batch reads all weights.
  const gbPerSecond =
    (Math.ceil(context / transformer.batchTokens) * device.buffers.report().weights) / (median * context) / 1e6;
  return {
    context,
    msPerToken: { median, p95: quantile(times, 0.95) },
    tokensPerSecond: 1000 / median,
    dispatchesPerToken: (recorder.dispatches - before) / (repeats + 1) / context,
    gbPerSecond,
  };
}

/** Milliseconds per token of an uncached prefill of `tokens`. */
export async function timePrefill(
  session: Session,
  tokens: readonly number[],
  adaptation?: Adaptation,
  policy?: CachePolicy,
): Promise<number> {
  const sequence = new Sequence(undefined, 0, policy);
  const start = performance.now();
  await prefillAndSample(session, sequence, tokens, adaptation);
  const ms = performance.now() - start;
  endSequence(session, sequence);
  return ms / tokens.length;
}

export interface KernelTiming {
  kernel: string;
  /** Milliseconds of a dispatch: median and 95th percentile. */
  ms: number;
  msP95: number;
  /** Dispatches of this kernel with these bytes of weights in a step. */
  dispatches: number;
  weightBytes: number;
  gbPerSecond: number;
}

/** Times each kind of dispatch of a step of `tokens` tokens after `context`, with many per submission. */
export async function measureKernels(session: Session, context: number, tokens: number): Promise<KernelTiming[]> {
  const sequence = new Sequence();
  await fill(session, sequence, anyTokens(session, context));
  session.sequences.reserve(sequence, context + tokens);
  const kinds = new Map<string, Call[]>();
  for (const call of stepCalls(session, sequence, context, tokens)) {
    const kind = `${call.operation.pipeline.kernel.name} ${call.operation.weightBytes}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), call]);
  }
  const timings: KernelTiming[] = [];
  for (const calls of kinds.values()) {
    const [call] = calls;
    if (!call) continue;
    const times = await timeCalls(session, [call], tokens === 1 ? 20 : 2);
    const ms = quantile(times, 0.5);
    const { pipeline, weightBytes } = call.operation;
    const gbPerSecond = weightBytes / ms / 1e6;
    timings.push({
      kernel: pipeline.kernel.name,
      ms,
      msP95: quantile(times, 0.95),
      dispatches: calls.length,
      weightBytes,
      gbPerSecond,
    });
  }
  session.release(sequence);
  return timings;
}

/** The dispatches of a step of `tokens` tokens after `context`; `sequence` must have pages for them. */
function stepCalls(session: Session, sequence: Sequence, context: number, tokens: number): Call[] {
  const trace = new Trace();
  const places = Array.from({ length: tokens }, (_, i) => ({
    sequence,
    position: context + i,
    place: FIRST_PREFILL_TOKEN + i,
  }));
  // The contents of the recurrent state and of per-layer inputs do not matter.
  if (context > 0) session.sequences.advance(sequence, 0, context);
  const { numLayers, perLayerInputs = 0 } = session.plan.config;
  const rows = new Float32Array(tokens * numLayers * perLayerInputs);
  session.batches.forward(trace, tokens === 1 ? 'decode' : 'prefill', places, { rows });
  session.transformer.head(trace, 0, 1);
  return trace.calls;
}

/** Collects a step's dispatches instead of recording them. */
class Trace implements Dispatcher {
  readonly calls: Call[] = [];
  readonly dispatches = 0;

  run(operation: Operation, groups: Groups, params: Params = {}): void {
    this.calls.push({ operation, groups, params });
  }

  again(_key: string, work: () => void): void {
    work();
  }
}

export interface AttentionTiming extends KvOptions {
  /** Tokens attended to, including the batch's. */
  context: number;
  /** Tokens of the batch: one for decode, or a prefill batch. */
  tokens: number;
  /** One layer's attention with the merge of its splits. */
  msPerToken: { median: number; p95: number };
  dispatchesPerToken: number;
  /** Bytes of one layer's pages, which the batch must read. */
  bytes: number;
  gbPerSecond: number;
  /** Bytes of the splits' partial results. */
  scratchBytes: number;
}

/** Times one layer's attention over `context` tokens with pages in the forms of `kv`: for one token, and for a batch. */
export async function measureAttention(session: Session, context: number, kv: KvOptions): Promise<AttentionTiming[]> {
  const { config } = session.plan;
  const sequence = new Sequence(undefined, 0, policyOf(kv));
  try {
    await fillInForms(session, sequence, context);
    const bytes = sequence.pages.reduce((sum, { layers }) => sum + (layers[0]?.place.units ?? 0) * UNIT_BYTES, 0);
    const timings: AttentionTiming[] = [];
    for (const tokens of [1, Math.min(session.transformer.batchTokens, context)]) {
      const { attend, merge } = ofFirstLayer(stepCalls(session, sequence, context - tokens, tokens));
      const calls = merge ? [attend, merge] : [attend];
      const times = (await timeCalls(session, calls, tokens === 1 ? 20 : 2)).map((ms) => ms / tokens);
      const msPerToken = { median: quantile(times, 0.5), p95: quantile(times, 0.95) };
      timings.push({
        ...kv,
        ...{ context, tokens, msPerToken },
        dispatchesPerToken: calls.length / tokens,
        bytes,
        gbPerSecond: bytes / (msPerToken.median * tokens) / 1e6,
        scratchBytes: (merge?.params['splits'] ?? 0) * tokens * config.numHeads * partialFloats(config.headDim) * 4,
      });
    }
    return timings;
  } finally {
    session.release(sequence);
  }
}

/** The first layer's attention and, with splits, their merge. */
function ofFirstLayer(calls: readonly Call[]): { attend: Call; merge?: Call | undefined } {
  const nameOf = (call?: Call): string => call?.operation.pipeline.kernel.name ?? '';
  const [attend, next] = calls.filter((call) => nameOf(call).startsWith('attention')) as [Call, Call?];
  return { attend, merge: nameOf(next).startsWith('attention-merge') ? next : undefined };
}

/** Fills `sequence` with `context` tokens in the page forms of its policy. */
async function fillInForms(session: Session, sequence: Sequence, context: number): Promise<void> {
  await fill(session, sequence, anyTokens(session, context));
  await session.recorder.inOneGo(() => session.pageChanges.settle(sequence, context, context));
}

/** Ceiling of kernels that read weights and cache: the fastest streaming in GB/s. Errors: those of `measureStreaming`. */
export async function measureStreamingRead(session: Session): Promise<number> {
  const { coalesced, runs, copy } = await measureStreaming(session);
  return Math.max(coalesced, runs, copy);
}
