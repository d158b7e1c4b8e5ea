// Decode at context 256 with an adapter of rank 16 on all linears, against the same model without it, in one run. On
// lavapipe: chunkwise, uniform, unfused, and llama.cpp with the adapter's GGUF form; on SwiftShader: chunkwise and
// uniform.
import { measureDecode, type Timing } from '../../cli/measure/timings.ts';
import { quantile } from '../../src/util/numbers.ts';
import { decodeSpeed, ensureLlama } from '../../tests/llama/llama.ts';
import { openInBrowser } from '../../e2e/support/engine-page/open-engine-page.ts';
import { demoAdapter, loadAdapter, MODEL, openInNode } from '../support/engine.ts';
import { ggufForm } from '../support/gguf-form.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';

const CONTEXT = 256;
const STEPS = 16;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 7);
const ADAPTER = 'wikitext';

/** Milliseconds per token of each form, one value per round, after a first round that compiles. */
async function interleaved(forms: Record<string, () => Promise<number>>): Promise<Record<string, number[]>> {
  const names = Object.keys(forms);
  const times: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of names) {
      const ms = (await forms[name]?.()) ?? NaN;
      if (round > 0) times[name]?.push(ms);
    }
    console.log(`  ${names.map((name) => `${name} ${times[name]?.at(-1)?.toFixed(1) ?? '-'}`).join(', ')} ms`);
  }
  return times;
}

/** Prints and records the times, with each form's ratio to another one of its round. */
async function report(
  device: string,
  times: Record<string, number[]>,
  ratios: Record<string, [string, string]>,
  bytes: object,
) {
  const ratioOf = ([over, under]: [string, string]) =>
    estimate((times[over] ?? []).map((ms, i) => ms / (times[under]?.[i] ?? NaN)));
  const estimated = Object.fromEntries(Object.entries(ratios).map(([name, pair]) => [name, ratioOf(pair)]));
  const msPerToken = Object.fromEntries(Object.entries(times).map(([name, ms]) => [name, estimate(ms)]));
  console.log(device);
  for (const [name, ratio] of Object.entries(estimated)) console.log(`  ${name}: ${format(ratio)}`);
  await record('adapter-decode', device, {
    context: CONTEXT,
    rounds: ROUNDS,
    adapter: ADAPTER,
    msPerToken,
    slowdown: estimated,
    ...bytes,
  });
}

const ms = ({ msPerToken }: Timing): number => msPerToken.median;

/** Bytes and dispatches that an adapter adds to a step. */
const added = (base: Timing, adapted: Timing) => ({
  shareOfBytes: adapted.bytesPerToken / base.bytesPerToken - 1,
  dispatchesPerLayer: { base: base.dispatchesPerLayer, adapted: adapted.dispatchesPerLayer },
});

async function lavapipe(): Promise<void> {
  await ensureLlama();
  const [engine, plain] = [await openInNode(), await openInNode({ lora: 'unfused' })];
  for (const each of [engine, plain]) await loadAdapter(each, ADAPTER);
  const gguf = await ggufForm(engine, ADAPTER);
  const uses = [{ name: ADAPTER, scale: 1 }];
  const chunkwise = await engine.adapt(uses);
  const uniform = await engine.adapt(uses, { ranks: 'uniform' });
  const unfused = await plain.adapt(uses);
  const session = await engine.session();
  const llama = async (lora?: { path: string }): Promise<number> => {
    const { msPerToken } = await decodeSpeed(MODEL, { gpu: 'vulkan', contextTokens: CONTEXT, steps: STEPS, lora });
    return quantile(msPerToken, 0.5);
  };
  const times = await interleaved({
    base: async () => ms(await measureDecode(session, CONTEXT, STEPS)),
    chunkwise: async () => ms(await measureDecode(session, CONTEXT, STEPS, [chunkwise])),
    uniform: async () => ms(await measureDecode(session, CONTEXT, STEPS, [uniform])),
    unfused: async () => ms(await measureDecode(await plain.session(), CONTEXT, STEPS, [unfused])),
    llama: () => llama(),
    llamaAdapted: () => llama({ path: gguf }),
  });
  const bytes = added(await measureDecode(session, CONTEXT, 2), await measureDecode(session, CONTEXT, 2, [uniform]));
  const ratios: Record<string, [string, string]> = {
    chunkwise: ['chunkwise', 'base'],
    uniform: ['uniform', 'base'],
    chunkwiseToUniform: ['chunkwise', 'uniform'],
    unfused: ['unfused', 'base'],
    llama: ['llamaAdapted', 'llama'],
    llamaToBase: ['llama', 'base'],
  };
  await report(engine.device, times, ratios, bytes);
  for (const each of [engine, plain]) each.dispose();
}

async function swiftShader(): Promise<void> {
  const page = await openInBrowser('swiftshader', MODEL);
  await page.adapt(demoAdapter(ADAPTER));
  const times = await interleaved({
    base: async () => ms(await page.decode(CONTEXT, STEPS)),
    chunkwise: async () => ms(await page.decode(CONTEXT, STEPS, 'chunkwise')),
    uniform: async () => ms(await page.decode(CONTEXT, STEPS, 'uniform')),
  });
  const bytes = added(await page.decode(CONTEXT, 2), await page.decode(CONTEXT, 2, 'uniform'));
  await report(
    page.device,
    times,
    { chunkwise: ['chunkwise', 'base'], uniform: ['uniform', 'base'], chunkwiseToUniform: ['chunkwise', 'uniform'] },
    bytes,
  );
  await page.close();
}

await lavapipe();
await swiftShader();
process.exit(0);
