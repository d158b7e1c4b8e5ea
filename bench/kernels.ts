// Time per kind of dispatch in a decode step at context 256: on lavapipe in Node, on SwiftShader in Chromium.
import { type KernelTiming, measureKernels } from '../cli/measure/timings.ts';
import { openInBrowser } from '../e2e/support/engine-page/open-engine-page.ts';
import { MODEL, openInNode } from './support/engine.ts';
import { record } from './support/results.ts';

const CONTEXT = 256;

async function show(device: string, kernels: KernelTiming[]): Promise<void> {
  console.log(device);
  for (const { kernel, ms, dispatches, weightBytes } of kernels) {
    const total = (ms * dispatches).toFixed(2).padStart(7);
    console.log(
      `  ${total} ms  ${kernel.padEnd(16)} ${dispatches} × ${ms.toFixed(3)} ms, ${weightBytes} bytes of weights`,
    );
  }
  await record('kernels', device, { context: CONTEXT, kernels });
}

const engine = await openInNode();
await show(engine.device, await measureKernels(await engine.session(), CONTEXT, 1));
engine.dispose();
const page = await openInBrowser('swiftshader', MODEL);
await show(page.device, await page.kernels(CONTEXT));
await page.close();
process.exit(0);
