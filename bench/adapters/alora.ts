// Time to the first token of an activated adapter after a text of 2,000 tokens that the base has read, against the base
// with the same tokens, and an ordinary adapter that must read the whole text; lavapipe.
import { GREEDY } from '../../src/config/sampling.ts';
import { loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';
import { heldOutTokens } from '../support/texts.ts';

const TOKENS = 2000;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 3);
/** Calls of base and activated adapter per round, alternating. */
const CALLS = 5;
const [ORDINARY, ACTIVATED] = ['squad', 'squad-alora'];
const QUESTION =
  'Question: What is it about?\nAnswer with the shortest exact phrase from the text above, and nothing else.';

const engine = await openInNode();
for (const name of [ORDINARY, ACTIVATED]) await loadAdapter(engine, name);
const article = `${engine.tokenizer.decode(await heldOutTokens(engine, 'wikitext', TOKENS))}\n`;
const held = engine.tokenizer.encode(article).length;
const prompt = article + QUESTION;
const newTokens = engine.tokenizer.encode(prompt).length - held;

const times = { ordinary: [] as number[], base: [] as number[], activated: [] as number[] };
const forget = async (): Promise<void> => (await engine.session()).sequences.makeRoom(Infinity);
// The first calls compile shaders.
for (const adapter of [ORDINARY, ACTIVATED, undefined]) await firstToken(QUESTION, adapter);
for (let round = 0; round < ROUNDS; round++) {
  await forget();
  times.ordinary.push(await firstToken(prompt, ORDINARY, 0));
  await forget();
  await firstToken(article, undefined, 0);
  for (let call = 0; call < CALLS; call++) {
    times.base.push(await firstToken(prompt, undefined, held));
    times.activated.push(await firstToken(prompt, ACTIVATED, held));
  }
  console.log(
    `  ${Object.entries(times)
      .map(([name, ms]) => `${name} ${ms.at(-1)?.toFixed(0)}`)
      .join(', ')} ms`,
  );
}
const overBase = estimate(times.activated.map((ms, i) => ms / (times.base[i] ?? NaN)));
const underOrdinary = estimate(times.activated.map((ms, i) => (times.ordinary[Math.floor(i / CALLS)] ?? NaN) / ms));
const ttftMs = { base: estimate(times.base), activated: estimate(times.activated), ordinary: estimate(times.ordinary) };
console.log(
  `${engine.device}: ${format(overBase)} times the base's going on; the ordinary adapter takes ${format(underOrdinary)} times as long`,
);
await record('alora', engine.device, {
  tokens: held,
  newTokens,
  rounds: ROUNDS,
  calls: CALLS,
  ttftMs,
  overBase,
  underOrdinary,
});
engine.dispose();
process.exit(0);

/** Milliseconds to the first token; `cached`: required number of prompt tokens from the prefix cache. */
async function firstToken(text: string, adapter: string | undefined, cached?: number): Promise<number> {
  const adapters = adapter === undefined ? [] : [{ name: adapter, scale: 1 }];
  for await (const event of engine.complete(text, { sampling: GREEDY, stop: [], maxTokens: 1, adapters })) {
    if (event.type !== 'end') continue;
    const { usage, report } = event;
    if (cached !== undefined && usage.cachedTokens !== cached)
      throw new Error(`${usage.cachedTokens} tokens were cached, not ${cached}`);
    return report.ttftMs;
  }
  throw new Error('no answer');
}
