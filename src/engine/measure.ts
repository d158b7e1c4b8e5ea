import { GREEDY } from '../config/sampling.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher, Groups, Params } from '../gpu/recorder.ts';
import { FIRST_PREFILL_TOKEN } from '../layers/batch.ts';
import { streamReadBytes, streamReadGroups, streamReadKernel } from '../kernels/stream-read.ts';
import { type Adaptation, UNADAPTED } from './adaptation.ts';
import type { Draw, Drawn } from './decode-steps.ts';
import { attach, newSequence, type Sequence } from './sequence.ts';
import type { Session } from './session.ts';
import { quantile } from './statistics.ts';

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
  /** Bytes that a step must read at least: weights, all loaded adapters where any takes part, and, of the cache, the pages in use. */
  bytesPerToken: number;
  gbPerSecond: number;
  /** Of the speed at which the device streams a large buffer, measured beside it. */
  ratioToStreamingRead: number;
}

/** Any text, for work that does not depend on it. */
export const anyTokens = (session: Session, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7919 + 13) % session.plan.config.vocabSize);

/**
 * Times `steps` greedy decode steps after `context` tokens, run as chat runs them: one submitted ahead.
 * `adaptations`: of each stream that takes part in every step.
 */
export async function measureDecode(
  session: Session,
  context: number,
  steps: number,
  adaptations: readonly Adaptation[] = [UNADAPTED],
): Promise<Timing> {
  const { recorder, transformer, device } = session;
  const streams = adaptations.length;
  const sequences = adaptations.map((_, slot) => newSequence(undefined, slot));
  const decode = (position: number): Promise<unknown> =>
    session.decode(sequences.map((sequence) => greedy(sequence, position)));
  const times: number[] = [];
  let dispatches = 0;
  try {
    for (const [i, sequence] of sequences.entries()) {
      await prefillAndDraw(session, sequence, anyTokens(session, context), adaptations[i]);
    }
    const before = recorder.dispatches;
    let pending = decode(context + 1);
    let last = performance.now();
    // The first step is not counted: it compiles what the driver has left until now.
    for (let step = 0; step <= steps; step++) {
      const current = pending;
      pending = decode(context + step + 2);
      await current;
      const now = performance.now();
      if (step > 0) times.push(now - last);
      last = now;
    }
    await pending;
    dispatches = (recorder.dispatches - before) / (steps + 2);
  } finally {
    for (const sequence of sequences) end(session, sequence);
  }
  const msPerStep = { median: quantile(times, 0.5), p95: quantile(times, 0.95) };
  const { kv, weights, adapters } = device.buffers.report();
  const loaded = adaptations.some((adaptation) => adaptation !== UNADAPTED) ? adapters : 0;
  const bytesPerStep = weights + loaded + (streams * kv * context) / session.plan.contextLength;
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

function greedy(sequence: Sequence, position: number): Draw {
  const level = sequence.text?.follow?.options;
  return { sequence, sampling: GREEDY, position, wantsEntropy: level !== undefined, level };
}

/** Prefills `tokens` and draws the next one. */
async function prefillAndDraw(
  session: Session,
  sequence: Sequence,
  tokens: readonly number[],
  adaptation = UNADAPTED,
): Promise<void> {
  let drawn: Promise<Drawn> | undefined;
  const context = tokens.length;
  const text = await adaptation.begin(tokens, 0);
  attach(sequence, text);
  await session.prefill(sequence, tokens, (start, length) => {
    if (start + length < context) return;
    if (text.follow) session.draws.levels.begin(sequence.slot, text.follow.start);
    drawn = session.sample(length, greedy(sequence, context));
  });
  await drawn;
}

function end(session: Session, sequence: Sequence): void {
  sequence.text?.close();
  session.release(sequence);
}

/** Times the prefill of `tokens`, `repeats` times. What they say matters with an adapter: ranks follow it. */
export async function measurePrefill(session: Session, tokens: readonly number[], repeats: number, adaptation?: Adaptation) {
  const context = tokens.length;
  const times: number[] = [];
  // The first is not counted: it compiles.
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const sequence = newSequence();
    const start = performance.now();
    await prefillAndDraw(session, sequence, tokens, adaptation);
    if (repeat > 0) times.push((performance.now() - start) / context);
    end(session, sequence);
  }
  const median = quantile(times, 0.5);
  return { context, msPerToken: { median, p95: quantile(times, 0.95) }, tokensPerSecond: 1000 / median };
}

/** GB/s at which the device reads one large buffer from end to end; median of a few. */
async function measureStreamingRead(session: Session): Promise<number> {
  const { device } = session;
  const bytes = Math.min(streamReadBytes, device.limits.maxStorageBufferBindingSize);
  const groups = streamReadGroups(bytes);
  const x = device.buffers.storage('stream', 'staging', bytes);
  const y = device.buffers.storage('stream sums', 'staging', groups[0] * 64 * 4);
  const operation = createOperation(device, streamReadKernel(), { x, y });
  const ms = await measureCall(session, { operation, groups, params: {} }, 1);
  device.buffers.destroy(x);
  device.buffers.destroy(y);
  return bytes / ms / 1e6;
}

export interface KernelTiming {
  kernel: string;
  /** Of one dispatch, median. */
  ms: number;
  /** Dispatches of this kernel, over these bytes of weights, in a step. */
  dispatches: number;
  weightBytes: number;
  gbPerSecond: number;
}

/** Times each kind of dispatch of a step of `tokens` tokens after `context`, many in one submission. */
export async function measureKernels(session: Session, context: number, tokens: number): Promise<KernelTiming[]> {
  const sequence = newSequence();
  session.sequences.reserve(sequence, context + tokens);
  const trace = new Trace();
  const places = Array.from({ length: tokens }, (_, i) => ({ sequence, position: context + i, place: FIRST_PREFILL_TOKEN + i }));
  session.forward(trace, tokens === 1 ? 'decode' : 'prefill', places);
  session.transformer.head(trace, 0, 1);
  const kinds = new Map<string, Call[]>();
  for (const call of trace.calls) {
    const kind = `${call.operation.pipeline.kernel.name} ${call.operation.weightBytes}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), call]);
  }
  const timings: KernelTiming[] = [];
  for (const calls of kinds.values()) {
    const [call] = calls;
    if (!call) continue;
    const ms = await measureCall(session, call, tokens === 1 ? 20 : 2);
    const { pipeline, weightBytes } = call.operation;
    const gbPerSecond = weightBytes / ms / 1e6;
    timings.push({ kernel: pipeline.kernel.name, ms, dispatches: calls.length, weightBytes, gbPerSecond });
  }
  session.release(sequence);
  return timings;
}

interface Call {
  operation: Operation;
  groups: Groups;
  params: Params;
}

/** Takes note of a step's dispatches instead of recording them. */
class Trace implements Dispatcher {
  readonly calls: Call[] = [];
  readonly dispatches = 0;

  run(operation: Operation, groups: Groups, params: Params = {}): void {
    this.calls.push({ operation, groups, params });
  }
}

const REPEATS = 5;

/** Milliseconds of one dispatch: median over a few submissions of `count`, after one to warm up. */
async function measureCall({ device, recorder }: Session, call: Call, count: number): Promise<number> {
  const times: number[] = [];
  for (let repeat = 0; repeat <= REPEATS; repeat++) {
    const start = performance.now();
    for (let i = 0; i < count; i++) recorder.run(call.operation, call.groups, call.params);
    recorder.submit();
    await device.wait(device.gpuDevice.queue.onSubmittedWorkDone());
    if (repeat > 0) times.push((performance.now() - start) / count);
  }
  return quantile(times, 0.5);
}
