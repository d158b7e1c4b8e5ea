// Decode at context 256 against llama.cpp's Vulkan build on the same lavapipe, and on SwiftShader in Chromium.
import { measureDecode } from '../cli/measure/timings.ts';
import { decodeSpeed, ensureLlama } from '../tests/llama/llama.ts';
import { quantile } from '../src/util/numbers.ts';
import { openInBrowser } from '../e2e/support/engine-page/open-engine-page.ts';
import { MODEL, openInNode } from './support/engine.ts';
import { record } from './support/results.ts';
import { estimate, format } from './support/statistics.ts';

const CONTEXT = 256;
const STEPS = 16;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 5);

async function lavapipe(): Promise<void> {
  await ensureLlama();
  const engine = await openInNode();
  const session = await engine.session();
  const ours: number[] = [];
  const theirs: number[] = [];
  let llamaDevice = '';
  // The first round compiles shaders in both.
  for (let round = 0; round <= ROUNDS; round++) {
    const { msPerToken } = await measureDecode(session, CONTEXT, STEPS);
    const llama = await decodeSpeed(MODEL, { gpu: 'vulkan', contextTokens: CONTEXT, steps: STEPS });
    llamaDevice = llama.device;
    console.log(`  ${msPerToken.median.toFixed(1)} ms, llama.cpp ${quantile(llama.msPerToken, 0.5).toFixed(1)} ms`);
    if (round === 0) continue;
    ours.push(msPerToken.median);
    theirs.push(quantile(llama.msPerToken, 0.5));
  }
  const msPerToken = estimate(ours);
  const llamaMsPerToken = estimate(theirs);
  const speedup = estimate(theirs.map((ms, i) => ms / (ours[i] ?? 0)));
  const { dispatchesPerToken, dispatchesPerLayer, ratioToStreamingRead } = await measureDecode(session, CONTEXT, STEPS);
  console.log(`${engine.device}: ${format(msPerToken)} ms a token, ${format(speedup)} times as fast as llama.cpp's`);
  const counts = { dispatchesPerToken, dispatchesPerLayer, ratioToStreamingRead };
  const llama = { device: llamaDevice, msPerToken: llamaMsPerToken };
  await record('decode', engine.device, { context: CONTEXT, rounds: ROUNDS, msPerToken, speedup, ...counts, llama });
  engine.dispose();
}

async function swiftShader(): Promise<void> {
  const page = await openInBrowser('swiftshader', MODEL);
  const times: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const { msPerToken } = await page.decode(CONTEXT, STEPS);
    console.log(`  ${msPerToken.median.toFixed(1)} ms`);
    if (round > 0) times.push(msPerToken.median);
  }
  const msPerToken = estimate(times);
  console.log(`${page.device}: ${format(msPerToken)} ms a token`);
  await record('decode', page.device, { context: CONTEXT, rounds: ROUNDS, msPerToken });
  await page.close();
}

await lavapipe();
await swiftShader();
process.exit(0);
