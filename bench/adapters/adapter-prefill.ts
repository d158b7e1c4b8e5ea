// Prefill of 512 tokens with an adapter of rank 16 on all linears, against the same model without it; lavapipe.
import { measurePrefill } from '../../cli/measure/timings.ts';
import { loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';
import { heldOutTokens } from '../support/texts.ts';

const TOKENS = 512;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 7);
const PASSES = 3;
const ADAPTER = 'wikitext';

const times = { base: [] as number[], chunkwise: [] as number[], uniform: [] as number[] };
let device = '';
for (let round = 0; round < ROUNDS; round++) {
  // One engine per round, because the placement of buffers and compiled kernels changes the ratio by some percent.
  const engine = await openInNode();
  ({ device } = engine);
  await loadAdapter(engine, ADAPTER);
  const tokens = await heldOutTokens(engine, ADAPTER, TOKENS);
  const uses = [{ name: ADAPTER, scale: 1 }];
  const adaptations = {
    base: undefined,
    chunkwise: await engine.adapt(uses),
    uniform: await engine.adapt(uses, { ranks: 'uniform' }),
  };
  await engine.alone(async (session) => {
    for (const name of ['base', 'chunkwise', 'uniform'] as const) {
      // The first pass, which compiles, does not count.
      const { msPerToken } = await measurePrefill(session, tokens, PASSES, adaptations[name]);
      times[name].push(msPerToken.median);
    }
  });
  engine.dispose();
  console.log(
    `  ${Object.entries(times)
      .map(([name, ms]) => `${name} ${ms.at(-1)?.toFixed(2)}`)
      .join(', ')} ms a token`,
  );
}
const slowdownOf = (ms: readonly number[]) => estimate(ms.map((each, i) => each / (times.base[i] ?? NaN)));
const slowdown = { chunkwise: slowdownOf(times.chunkwise), uniform: slowdownOf(times.uniform) };
const { base, chunkwise, uniform } = times;
const msPerToken = { base: estimate(base), chunkwise: estimate(chunkwise), uniform: estimate(uniform) };
console.log(
  `${device}: chunkwise takes ${format(slowdown.chunkwise)} times as long, uniform ${format(slowdown.uniform)}`,
);
await record('adapter-prefill', device, { tokens: TOKENS, rounds: ROUNDS, adapter: ADAPTER, msPerToken, slowdown });
process.exit(0);
