// Five questions with five activated adapters about a text of 2,000 tokens that the base has read: in one request, whose
// questions share batches, against one question, five requests, and the base's first token after the same tokens; lavapipe,
// whose threads are this process's: its CPU time does not depend on what else the machine does, as its ms do.
import { GREEDY } from '../../src/config/sampling.ts';
import type { LabelRead } from '../../src/engine/types.ts';
import { demoAdapter, loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';
import { heldOutTokens } from '../support/texts.ts';

const TOKENS = 2000;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 7);
const ADAPTERS = ['a', 'b', 'c', 'd', 'e'];
const ABOUT = ['a person', 'a place', 'music', 'a war', 'an animal'];

const engine = await openInNode();
for (const name of ADAPTERS) await loadAdapter(engine, name, demoAdapter('squad-alora'));
const session = await engine.session();
const article = `${engine.tokenizer.decode(await heldOutTokens(engine, 'wikitext', TOKENS))}\n`;
const messages = [{ role: 'user' as const, content: article }];

let asked = 0;
/** Questions that no cached text has. */
const questions = (count: number): LabelRead[] =>
  ADAPTERS.slice(0, count).map((name, i) => ({
    text: `Question: ${++asked}. Is the text about ${ABOUT[i]}?\nAnswer with yes or no only.`,
    labels: ['yes', 'Yes', 'no', 'No'],
    adapters: [{ name, scale: 1 }],
  }));

interface Cost {
  ms: number;
  /** Sum over all threads. */
  cpuMs: number;
  dispatches: number;
  /** Tokens that were computed. */
  tokens: number;
}

async function costOf(work: () => Promise<number>): Promise<Cost> {
  const before = session.recorder.dispatches;
  const cpu = process.cpuUsage();
  const began = performance.now();
  const tokens = await work();
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return { ms, cpuMs: (user + system) / 1000, dispatches: session.recorder.dispatches - before, tokens };
}

async function read(reads: readonly LabelRead[]): Promise<number> {
  let tokens = 0;
  for await (const { promptTokens, cachedTokens } of engine.scoreLabels(messages, reads, {}))
    tokens += promptTokens.length - cachedTokens;
  return tokens;
}

async function readApart(reads: readonly LabelRead[]): Promise<number> {
  let tokens = 0;
  for (const each of reads) tokens += await read([each]);
  return tokens;
}

async function firstToken(): Promise<number> {
  const [{ text }] = questions(1) as [LabelRead];
  const chat = [{ role: 'user' as const, content: `${article}\n\n${text}` }];
  for await (const event of engine.chat(chat, { sampling: GREEDY, stop: [], maxTokens: 1 }))
    if (event.type === 'end') return event.usage.promptTokens - event.usage.cachedTokens;
  throw new Error('no answer');
}

const WORK = {
  base: firstToken,
  one: () => read(questions(1)),
  five: () => read(questions(5)),
  apart: () => readApart(questions(5)),
};
type Name = keyof typeof WORK;
const costs: Record<Name, Cost[]> = { base: [], one: [], five: [], apart: [] };
await read(questions(5)); // reads the text, and compiles kernels
for (let round = -1; round < ROUNDS; round++) {
  for (const name of Object.keys(WORK) as Name[]) {
    const cost = await costOf(WORK[name]);
    if (round >= 0) costs[name].push(cost);
  }
}
const ratio = (a: Name, b: Name, of: (cost: Cost) => number) =>
  estimate(costs[a].map((cost, i) => of(cost) / of(costs[b][i]!)));
const cpuMs = (cost: Cost): number => cost.cpuMs;
const found = {
  ms: Object.fromEntries(Object.entries(costs).map(([name, own]) => [name, estimate(own.map(({ ms }) => ms))])),
  cpuMs: Object.fromEntries(Object.entries(costs).map(([name, own]) => [name, estimate(own.map(cpuMs))])),
  dispatches: Object.fromEntries(Object.entries(costs).map(([name, own]) => [name, own.at(-1)!.dispatches])),
  tokens: Object.fromEntries(Object.entries(costs).map(([name, own]) => [name, own.at(-1)!.tokens])),
  fiveOverOne: ratio('five', 'one', cpuMs),
  fiveOverOnePerToken: ratio('five', 'one', (cost) => cost.cpuMs / cost.tokens),
  apartOverFive: ratio('apart', 'five', cpuMs),
  oneOverBase: ratio('one', 'base', cpuMs),
};
for (const name of Object.keys(WORK) as Name[])
  console.log(
    `  ${name}: ${format(found.ms[name]!)} ms, ${format(found.cpuMs[name]!)} ms of CPU, ${found.dispatches[name]} dispatches, ${found.tokens[name]} tokens`,
  );
console.log(
  `${engine.device}: five questions take ${format(found.fiveOverOne)} times the CPU time of one (${format(found.fiveOverOnePerToken)} per ` +
    `token), five requests ${format(found.apartOverFive)} times five questions, one question ${format(found.oneOverBase)} ` +
    `times the base's first token; batches of up to ${session.plan.batchTokens} tokens`,
);
await record('decisions', engine.device, { rounds: ROUNDS, batchTokens: session.plan.batchTokens, ...found });
engine.dispose();
process.exit(0);
