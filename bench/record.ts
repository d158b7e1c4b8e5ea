// CPU cost of encoding a decode step in its thread: JavaScript alone, with a null device, and with WebGPU's calls.
import { quantile } from '../src/util/numbers.ts';
import type { Session } from '../src/session/session.ts';
import { anyTokens, prefillAndSample } from '../src/measure/steps.ts';
import { greedy } from '../src/session/sampling/sampler.ts';
import { Sequence } from '../src/session/sequence.ts';
import { openInNode } from './support/engine.ts';
import { record } from './support/results.ts';

const CONTEXT = 256;
const STEPS = Number(process.env['CHUNKWISE_STEPS'] ?? 400);
/** Other processes run too: the fastest steps are the undisturbed ones. */
const UNDISTURBED = 0.1;

/** Milliseconds to encode each step, always after the same text. */
async function times(session: Session, sequence: Sequence, steps: number): Promise<number[]> {
  const all: number[] = [];
  for (let step = 0; step < steps; step++) {
    const began = performance.now();
    const drawn = session.batches.decode([greedy(sequence, CONTEXT + 1)]);
    all.push(performance.now() - began);
    await drawn;
  }
  return all;
}

/** From here on the device drops all recorded and submitted work. */
function doNothing({ gpuDevice }: Session['device']): void {
  const nothing = (): void => undefined;
  const pass = {
    ...{ setPipeline: nothing, setBindGroup: nothing, setImmediates: nothing },
    ...{ dispatchWorkgroups: nothing, end: nothing },
  };
  const encoder = { beginComputePass: () => pass, copyBufferToBuffer: nothing, finish: nothing };
  Object.assign(gpuDevice, { createCommandEncoder: () => encoder });
  Object.assign(gpuDevice.queue, { submit: nothing, writeBuffer: nothing });
}

const engine = await openInNode({ wait: (work) => work }); // napping would count as work
const session = await engine.session();
const sequence = new Sequence();
const { token } = await prefillAndSample(session, sequence, anyTokens(session, CONTEXT));
sequence.tokens.push(token);
const [{ dispatchesPerToken = 0 } = {}] = await session.batches.decode([greedy(sequence, CONTEXT + 1)]);
const whole = quantile(await times(session, sequence, STEPS / 10), UNDISTURBED);
doNothing(session.device);
await times(session, sequence, 200); // compiles
const script = quantile(await times(session, sequence, STEPS), UNDISTURBED);
console.log(
  `${engine.device}: a step of ${dispatchesPerToken} dispatches: ${script.toFixed(3)} ms of JavaScript, ${whole.toFixed(3)} ms with WebGPU's calls`,
);
await record('record', engine.device, {
  context: CONTEXT,
  steps: STEPS,
  quantile: UNDISTURBED,
  dispatchesPerToken,
  msOfJavaScript: script,
  msWithCalls: whole,
});
process.exit(0);
