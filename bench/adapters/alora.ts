// Time to the first token where an activated adapter is called after a conversation of 2,000 tokens with the base, beside
// the base going on with the same tokens, and beside the same weights as an ordinary adapter; lavapipe.
import { readFile } from 'node:fs/promises';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import { BlobSource } from '../../src/weights/blob-source.ts';
import { demoAdapter, loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';
import { heldOutTokens } from '../support/texts.ts';

const TOKENS = 2000;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 3);
/** Calls of base and activated adapter by turns, in each round. */
const CALLS = 5;
const ADAPTER = 'squad';
const INVOCATION = '\n\nAnswer in as few words as the text has for it:';
const QUESTION = ' what is it about, who is named in it, and when was it?';

const engine = await openInNode();
await loadAdapter(engine, ADAPTER);
await loadActivated(engine);
const conversation = engine.tokenizer.decode(await heldOutTokens(engine, 'wikitext', TOKENS));
const held = engine.tokenizer.encode(conversation).length;
const prompt = conversation + INVOCATION + QUESTION;
const newTokens = engine.tokenizer.encode(prompt).length - held;

const times = { ordinary: [] as number[], base: [] as number[], activated: [] as number[] };
const forget = async (): Promise<void> => (await engine.session()).sequences.makeRoom(Infinity);
// The first calls compile shaders.
for (const adapter of [ADAPTER, 'activated', undefined]) await firstToken(INVOCATION + QUESTION, adapter);
for (let round = 0; round < ROUNDS; round++) {
  await forget();
  times.ordinary.push(await firstToken(prompt, ADAPTER, 0));
  await forget();
  await firstToken(conversation, undefined, 0);
  for (let call = 0; call < CALLS; call++) {
    times.base.push(await firstToken(prompt, undefined, held));
    times.activated.push(await firstToken(prompt, 'activated', held));
  }
  console.log(`  ${Object.entries(times).map(([name, ms]) => `${name} ${ms.at(-1)?.toFixed(0)}`).join(', ')} ms`);
}
const overBase = estimate(times.activated.map((ms, i) => ms / (times.base[i] ?? NaN)));
const underOrdinary = estimate(times.activated.map((ms, i) => (times.ordinary[Math.floor(i / CALLS)] ?? NaN) / ms));
const ttftMs = { base: estimate(times.base), activated: estimate(times.activated), ordinary: estimate(times.ordinary) };
console.log(`${engine.device}: ${format(overBase)} times the base's going on; the ordinary adapter takes ${format(underOrdinary)} times as long`);
await record('alora', engine.device, { tokens: held, newTokens, rounds: ROUNDS, calls: CALLS, adapter: ADAPTER, ttftMs, overBase, underOrdinary });
engine.dispose();
process.exit(0);

/** Milliseconds to the first token; `cached`: the tokens of the prompt that must be in the cache. */
async function firstToken(text: string, adapter: string | undefined, cached?: number): Promise<number> {
  const adapters = adapter === undefined ? [] : [{ name: adapter, scale: 1 }];
  for await (const event of engine.complete(text, { sampling: GREEDY, stop: [], maxTokens: 1, adapters })) {
    if (event.type !== 'end') continue;
    const { usage, report } = event;
    if (cached !== undefined && usage.cachedTokens !== cached) throw new Error(`${usage.cachedTokens} tokens were cached, not ${cached}`);
    return report.ttftMs;
  }
  throw new Error('no answer');
}

/** The adapter's own weights, activated by the invocation. */
async function loadActivated(into: LocalEngine): Promise<void> {
  const file = (name: string): Promise<Buffer> => readFile(`${demoAdapter(ADAPTER)}/${name}`);
  const source = (name: string, bytes: BlobPart): BlobSource => new BlobSource(name, new Blob([bytes]));
  const config = JSON.parse(String(await file('adapter_config.json'))) as object;
  const text = JSON.stringify({ ...config, alora_invocation_tokens: into.tokenizer.encode(INVOCATION) });
  const weights = 'adapter_model.safetensors';
  await into.loadAdapter('activated', {
    config: source('adapter_config.json', text),
    weights: source(weights, new Uint8Array(await file(weights))),
  });
}
