import { kvBytes } from '../cache/kv-report.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import type { Operation } from '../gpu/operation.ts';
import type { Groups } from '../gpu/kernel.ts';
import type { Dispatcher, Params } from '../gpu/recorder.ts';
import { FIRST_PREFILL_TOKEN } from '../layers/batch.ts';
import { type Adaptation, UNADAPTED } from '../engine/adaptation.ts';
import type { DrawnToken } from '../session/sampling/draw-request.ts';
import { greedy } from '../session/sampling/greedy-draw.ts';
import { measureStreamingRead } from './ceilings.ts';
import { anyTokens, type DecodeOptions, end, fill, prefillAndDraw } from './decode-run.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import { quantile } from '../config/quantile.ts';
import { type Call, timeCalls } from './time-calls.ts';

export interface Timing {
  /** Tokens in the cache before the first measured step. */
  context: number;
  /** Sequences that share a step, which gives each a token. */
  streams: number;
  msPerStep: { median: number; p95: number };
  /** What is per token is that per step, shared out among the streams. */
  msPerToken: { median: number; p95: number };
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
  /** Bytes that a step must read at least: weights, all loaded adapters where any takes part, and the pages of its sequences. */
  bytesPerToken: number;
  gbPerSecond: number;
  /** Of the speed at which the device streams a large buffer, in the fastest way, measured beside it. */
  ratioToStreamingRead: number;
}

/**
 * Times `steps` greedy decode steps after `context` tokens, run as chat runs them: one submitted ahead.
 * `adaptations`: of each stream that takes part in every step.
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

/** Milliseconds of each step, dispatches of one, and bytes of the pages after the last. */
export async function timeSteps(
  session: Session,
  context: number,
  steps: number,
  adaptations: readonly Adaptation[],
  { policy = DENSE, text = anyTokens(session, context) }: DecodeOptions = {},
): Promise<{ times: number[]; dispatches: number; cacheBytes: number }> {
  const { recorder } = session;
  const sequences = adaptations.map((_, slot) => new Sequence(undefined, slot, policy));
  const decode = (position: number): Promise<DrawnToken[]> => {
    const drawn = session.decode(sequences.map((sequence) => greedy(sequence, position))) as Promise<DrawnToken[]>; // none is held
    drawn.catch(() => undefined); // where one fails, nobody waits for the one behind it
    return drawn;
  };
  // As in a chat, a token counts as cached once it is read and its step is asked for; the policy goes by that.
  const keep = (drawn: readonly DrawnToken[]): void =>
    sequences.forEach(({ tokens }, i) => tokens.push(drawn[i]?.token ?? 0));
  const times: number[] = [];
  try {
    const first: DrawnToken[] = [];
    for (const [i, sequence] of sequences.entries()) {
      first.push(await prefillAndDraw(session, sequence, text.slice(0, context), adaptations[i]));
    }
    const before = recorder.dispatches;
    let pending = decode(context + 1);
    keep(first);
    let last = performance.now();
    // The first step is not counted: it compiles what the driver has left until now.
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
    for (const sequence of sequences) end(session, sequence);
  }
}

/** Times the prefill of `tokens`, `repeats` times. What they say matters with an adapter, or a policy: these follow it. */
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
  // The first is not counted: it compiles.
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const ms = await timePrefill(session, tokens, adaptation, policy);
    if (repeat > 0) times.push(ms);
  }
  const median = quantile(times, 0.5);
  // Each batch reads the weights.
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

/** Milliseconds a token of a prefill of `tokens`, none of which is in the cache. */
export async function timePrefill(
  session: Session,
  tokens: readonly number[],
  adaptation?: Adaptation,
  policy?: CachePolicy,
): Promise<number> {
  const sequence = new Sequence(undefined, 0, policy);
  const start = performance.now();
  await prefillAndDraw(session, sequence, tokens, adaptation);
  const ms = performance.now() - start;
  end(session, sequence);
  return ms / tokens.length;
}

export interface KernelTiming {
  kernel: string;
  /** Of one dispatch, median, and the 95th percentile. */
  ms: number;
  msP95: number;
  /** Dispatches of this kernel, over these bytes of weights, in a step. */
  dispatches: number;
  weightBytes: number;
  gbPerSecond: number;
}

/** Times each kind of dispatch of a step of `tokens` tokens after `context`, many in one submission. */
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

/** Dispatches of a step of `tokens` tokens after `context`, for which `sequence` has pages. */
export function stepCalls(session: Session, sequence: Sequence, context: number, tokens: number): Call[] {
  const trace = new Trace();
  const places = Array.from({ length: tokens }, (_, i) => ({
    sequence,
    position: context + i,
    place: FIRST_PREFILL_TOKEN + i,
  }));
  // What a state that it goes on from holds does not matter.
  if (context > 0) session.sequences.advance(sequence, 0, context);
  const { numLayers, perLayerInputs = 0 } = session.plan.config;
  const rows = new Float32Array(tokens * numLayers * perLayerInputs); // nor what layers take in
  session.forward(trace, tokens === 1 ? 'decode' : 'prefill', places, { rows });
  session.transformer.head(trace, 0, 1);
  return trace.calls;
}

/** Takes note of a step's dispatches instead of recording them. */
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
