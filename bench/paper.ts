// Gains and costs of each mechanism of the paper, against ordinary LoRA (unfused, all ranks, f16 cache) and against its
// control: milliseconds a token, prefill, bytes, perplexity, answers. Argument: the folder of the adapters `wikitext`,
// `squad` and, if it is there, `shakespeare`; default: the demonstration's. `short`: the counts that a test repeats;
// `draw`: only the tables and pictures, from recorded results. CHUNKWISE_PARTS: some of speed, tasks, perplexity and
// answers; CHUNKWISE_MODES: some of the modes; CHUNKWISE_CONTEXTS, _STEPS, _TASK_STEPS, _ROUNDS, _PREFILL, _WINDOW,
// _WINDOWS, _QUESTIONS: smaller counts.
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { demoAdapter } from './support/engine.ts';
import { draw } from './support/paper/draw.ts';
import { BASELINE, MODE_NAMES, MODES, type ModeName, openMode, withModes } from './support/paper/modes.ts';
import { measureAnswers, measurePerplexity } from './support/paper/quality.ts';
import { keepParts, keepShort, type RankSection } from './support/paper/sections.ts';
import { measureShort } from './support/paper/short.ts';
import { measureSpeed, measureTasks } from './support/paper/speed.ts';
import { heldOutQuestions, heldOutTokens } from './support/texts.ts';

const listOf = (variable: string, otherwise: readonly string[]): readonly string[] =>
  process.env[variable]?.split(',') ?? otherwise;
const countOf = (variable: string, otherwise: number): number => Number(process.env[variable] ?? otherwise);

const PARTS = ['speed', 'tasks', 'perplexity', 'answers'] as const;
const parts = listOf('CHUNKWISE_PARTS', PARTS);
const names = [...listOf('CHUNKWISE_MODES', MODE_NAMES)] as ModeName[];
const speedSettings = {
  contexts: listOf('CHUNKWISE_CONTEXTS', ['256', '2048', '4096']).map(Number),
  steps: countOf('CHUNKWISE_STEPS', 32),
  rounds: countOf('CHUNKWISE_ROUNDS', 9),
  prefillTokens: countOf('CHUNKWISE_PREFILL', 512),
};
const windows = { context: countOf('CHUNKWISE_WINDOW', 2048), windows: countOf('CHUNKWISE_WINDOWS', 4) };
const questions = countOf('CHUNKWISE_QUESTIONS', Infinity);

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function speed(folder: string): Promise<RankSection> {
  const room = Math.max(...speedSettings.contexts) + 2 * speedSettings.steps; // tokenization may split a token in two
  return withModes(names, join(folder, 'wikitext'), room, async (modes) => {
    const text = await heldOutTokens(modes[0]!.engine, 'wikitext', room);
    return { speed: { ...speedSettings, modes: await measureSpeed(modes, text, speedSettings) } };
  });
}

/** Modes with speculation, and their baseline. */
async function tasks(folder: string): Promise<RankSection> {
  const settings = {
    context: Math.max(...speedSettings.contexts),
    steps: countOf('CHUNKWISE_TASK_STEPS', 96),
    rounds: countOf('CHUNKWISE_ROUNDS', 5),
  };
  const speculating = names.filter((name) => name === BASELINE || 'speculate' in MODES[name]);
  return withModes(speculating, join(folder, 'squad'), settings.context + 2 * settings.steps, async (modes) => {
    const text = await heldOutTokens(modes[0]!.engine, 'wikitext', settings.context);
    return { tasks: { ...settings, tasks: await measureTasks(modes, text, settings) } };
  });
}

async function perplexity(folder: string): Promise<RankSection> {
  const texts: NonNullable<RankSection['perplexity']>['texts'] = {};
  for (const [text, trained] of [
    ['wikitext', 'wikitext'],
    ['drama', 'shakespeare'],
  ] as const) {
    const adapter = (await isThere(join(folder, trained))) ? trained : 'wikitext';
    console.log(`${text}, with the adapter ${adapter}`);
    texts[text] = {
      adapter,
      modes: await measurePerplexity(
        names,
        join(folder, adapter),
        (engine, count) => heldOutTokens(engine, trained, count),
        windows,
      ),
    };
  }
  return { perplexity: { ...windows, texts } };
}

async function answers(folder: string): Promise<RankSection> {
  const asked = (await heldOutQuestions()).slice(0, questions);
  console.log(`${asked.length} questions`);
  return { answers: { questions: asked.length, modes: await measureAnswers(names, join(folder, 'squad'), asked) } };
}

const [argument = demoAdapter('')] = process.argv.slice(2);
if (argument === 'short') {
  const { device, ratios } = await measureShort();
  await keepShort(device, ratios);
} else if (argument !== 'draw') {
  const unknown = names.filter((name) => !(name in MODES));
  if (unknown.length > 0) throw new Error(`no such mode: ${unknown.join(', ')}`);
  const { engine, rank } = await openMode(BASELINE, join(argument, 'wikitext'), 256);
  const { device } = engine;
  engine.dispose();
  console.log(`${device}, adapters of rank ${rank}`);
  const measure: Record<string, (folder: string) => Promise<RankSection>> = { speed, tasks, perplexity, answers };
  // Each result is stored when it is complete.
  for (const part of parts) await keepParts(device, rank, (await measure[part]?.(argument)) ?? {});
}
await draw();
process.exit(0);
