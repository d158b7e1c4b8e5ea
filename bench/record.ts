// What asking for a decode step costs the thread that asks: JavaScript alone, with a device that does nothing, and with WebGPU's own calls.
import { quantile } from '../src/config/quantile.ts';
import type { Session } from '../src/session/session.ts';
import { anyTokens, prefillAndDraw } from '../src/measure/decode-run.ts';
import { greedy } from '../src/session/sampling/greedy-draw.ts';
import { Sequence } from '../src/session/sequence.ts';
import { openInNode } from './support/engine.ts';
import { record } from './support/results.ts';

const CONTEXT = 256;
const STEPS = Number(process.env['CHUNKWISE_STEPS'] ?? 400);
/** Other processes run beside this one: the quickest steps are the undisturbed ones. */
const UNDISTURBED = 0.1;

/** Milliseconds until a step is asked for, of each. Every one is the step behind the same text. */
async function times(session: Session, sequence: Sequence, steps: number): Promise<number[]> {
  const all: number[] = [];
  for (let step = 0; step < steps; step++) {
    const began = performance.now();
    const drawn = session.decode([greedy(sequence, CONTEXT + 1)]);
    all.push(performance.now() - began);
    await drawn;
  }
  return all;
}

/** From here on what is recorded and submitted goes nowhere. */
function doNothing({ gpuDevice }: Session['device']): void {
  const nothing = (): void => undefined;
  const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
  const encoder = { beginComputePass: () => pass, copyBufferToBuffer: nothing, finish: nothing };
  Object.assign(gpuDevice, { createCommandEncoder: () => encoder });
  Object.assign(gpuDevice.queue, { submit: nothing, writeBuffer: nothing });
}

const engine = await openInNode({ wait: (work) => work }); // napping begins at once, and is no work
const session = await engine.session();
const sequence = new Sequence();
const { token } = await prefillAndDraw(session, sequence, anyTokens(session, CONTEXT));
sequence.tokens.push(token);
const [{ dispatchesPerToken = 0 } = {}] = await session.decode([greedy(sequence, CONTEXT + 1)]);
const whole = quantile(await times(session, sequence, STEPS / 10), UNDISTURBED);
doNothing(session.device);
await times(session, sequence, 200); // until it is compiled
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
