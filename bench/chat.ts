// A chat of a hundred turns in 12 MB of KV cache: whether it stays within, and whether the model still follows the
// system prompt after all but the latest turns are evicted. For comparison, the last turns with the dense cache of only
// the turns before them, with and without the system prompt.
import { GREEDY } from '../src/config/sampling.ts';
import type { KvOptions } from '../src/cache/policy.ts';
import type { ChatTurn } from '../src/tokenizer/chat-template.ts';
import { openInNode } from './support/engine.ts';
import { record } from './support/results.ts';
import { estimate, format } from './support/statistics.ts';

const TURNS = Number(process.env.CHUNKWISE_TURNS ?? 100);
/** Live GPU bytes of the cache: pages, spare room in buffers, tables, probes. */
const MOST_BYTES = 12e6;
/** Limit of pages, so that the total stays within. */
const PAGE_BYTES = Number(process.env.CHUNKWISE_KV_BYTES ?? 8e6);
const CONTEXT = 2048;
const MAX_TOKENS = 24;
/** Turns that are judged together at the start and at the end. */
const JUDGED = 10;
/** Turns before the last ones in the dense cache: about as many as the small one holds. */
const REMEMBERED = 28;

/**
 * A small model imitates examples rather than instructions: of two dozen prompts only this one worked. It also imitates
 * its own earlier answers; the ship is asked for only once, at the end.
 */
const START = 'Ahoy, matey!';
const SHIP = 'Bluebird';
const SYSTEM: ChatTurn = {
  role: 'system',
  content:
    `You are a sailor of the ship ${SHIP}. Every answer begins with "${START}". ` +
    ['The sea is blue.', 'Cows eat grass.', 'Rome is in Italy.', 'Six is more than five.']
      .map((answer) => `"${START} ${answer}"`)
      .join(' '),
};
const QUESTIONS = [
  ...['Hello! Who are you?', 'What is the capital of France?', 'Why is the sky blue?', 'Name a fruit that is yellow.'],
  ...['How many legs does a spider have?', 'What do bees make?', 'Where do penguins live?', 'What is two plus three?'],
  ...['Who wrote Romeo and Juliet?', 'What is ice made of?', 'Which animal barks?', 'How many days has a week?'],
  ...['What do plants need to grow?', 'Is the sun a star?', 'What colour is grass?', 'Where is the Eiffel Tower?'],
  ...[
    'What can I cook with eggs?',
    'Which month comes after May?',
    'What is the opposite of hot?',
    'How do birds fly?',
  ],
];

const LAST_QUESTION = 'What is the name of your ship?';

interface Turn {
  follows: boolean;
  ms: number;
  /** Live bytes at the end and at the peak. */
  kvBytes: number;
  kvPeak: number;
  promptTokens: number;
  cachedTokens: number;
  droppedTokens: number;
}

const engine = await openInNode({ contextLength: CONTEXT });
const { buffers } = (await engine.session()).device;

const questionOf = (turn: number): string => QUESTIONS[turn % QUESTIONS.length] as string;

/** Asks `chat` a question and appends question and answer. */
async function ask(chat: ChatTurn[], question: string, kv: KvOptions): Promise<Turn> {
  chat.push({ role: 'user', content: question });
  const began = performance.now();
  buffers.watchPeak();
  let kvPeak = 0;
  let text = '';
  for await (const event of engine.chat(chat, { ...kv, sampling: GREEDY, stop: [], maxTokens: MAX_TOKENS })) {
    text += event.text;
    kvPeak = Math.max(kvPeak, engine.memory().kv, buffers.peak.kv);
    if (event.type !== 'end') continue;
    chat.push({ role: 'assistant', content: text });
    const { promptTokens, cachedTokens } = event.usage;
    return {
      ...{
        follows: text.trimStart().startsWith(START),
        ms: performance.now() - began,
        kvPeak,
        promptTokens,
        cachedTokens,
      },
      ...{ kvBytes: engine.memory().kv, droppedTokens: event.report.kv.droppedTokens },
    };
  }
  throw new Error('no answer');
}

/** Number of turns that follow the system prompt. */
const followed = (turns: readonly Turn[]): number =>
  turns.filter(({ follows }) => follows).length / Math.max(1, turns.length);

const answerOf = (chat: readonly ChatTurn[]): string => chat.at(-1)?.content ?? '';

/** Repeats the last turns after the remembered ones in f16, and asks for the ship. */
async function lastTurns(chat: readonly ChatTurn[], system: readonly ChatTurn[]) {
  const end = 1 + 2 * (TURNS - JUDGED);
  const again = [...system, ...chat.slice(Math.max(1, end - 2 * REMEMBERED), end)];
  const turns: Turn[] = [];
  for (let turn = TURNS - JUDGED; turn < TURNS; turn++) turns.push(await ask(again, questionOf(turn), {}));
  await ask(again, LAST_QUESTION, {});
  return { followed: followed(turns), ship: answerOf(again) };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;
const small: KvOptions = { kv: 'policy', kvMemoryBudget: PAGE_BYTES };
const chat = [SYSTEM];
const turns: Turn[] = [];
const errors: string[] = [];
for (let turn = 0; turn < TURNS && errors.length === 0; turn++) {
  try {
    const found = await ask(chat, questionOf(turn), small);
    turns.push(found);
    console.log(
      `${turn + 1}: ${JSON.stringify(answerOf(chat))}; ${found.ms.toFixed(0)} ms, at most ${megabytes(found.kvPeak)}`,
    );
  } catch (error) {
    errors.push(String(error));
  }
}

const kvAtTurns = [25, 50, 75, 100].flatMap((at) =>
  turns[at - 1] ? [{ turn: at, kvBytes: turns[at - 1]?.kvBytes as number }] : [],
);
const kvPeak = Math.max(...turns.map((each) => each.kvPeak));
const first = followed(turns.slice(0, JUDGED));
const last = followed(turns.slice(-JUDGED));
const cached = turns.slice(1).map(({ cachedTokens, promptTokens }) => cachedTokens / promptTokens);
const msPerTurn = estimate(turns.map(({ ms }) => ms));
const cachedShare = estimate(cached);
const computed = estimate(turns.slice(1).map(({ cachedTokens, promptTokens }) => promptTokens - cachedTokens));
// Before the others evict its pages.
if (errors.length === 0) await ask(chat, LAST_QUESTION, small);
const ship = answerOf(chat);
const dense =
  errors.length > 0 ? undefined : { withSystem: await lastTurns(chat, [SYSTEM]), without: await lastTurns(chat, []) };

console.log(`errors: ${errors.length === 0 ? 'none' : errors.join('; ')}`);
console.log(
  `keys and values: ${kvAtTurns.map(({ turn, kvBytes }) => `turn ${turn} ${megabytes(kvBytes)}`).join(', ')}; at most ${megabytes(kvPeak)} of ${megabytes(MOST_BYTES)}`,
);
console.log(
  `answers that follow the system: ${first} of the first ${JUDGED}, ${last} of the last ones, ${followed(turns)} of all`,
);
console.log(`${LAST_QUESTION} (${SHIP}) ${JSON.stringify(ship)}`);
for (const [name, found] of Object.entries(dense ?? {})) {
  console.log(
    `the last ones after ${REMEMBERED} turns in f16, ${name}: ${found.followed} follow; the ship: ${JSON.stringify(found.ship)}`,
  );
}
console.log(
  `tokens: ${turns.at(-1)?.promptTokens} in the last prompt, ${turns.at(-1)?.droppedTokens} evicted; of a prompt ${format(computed)} are computed, the share of the others ${format(cachedShare)}`,
);
console.log(`ms per turn ${format(msPerTurn)}`);
await record('chat', engine.device, {
  ...{ turns: turns.length, pageBytes: PAGE_BYTES, mostBytes: MOST_BYTES, errors, kvAtTurns, kvPeak },
  ...{
    followed: { first, last, all: followed(turns) },
    ship,
    dense,
    promptTokens: turns.at(-1)?.promptTokens,
    droppedTokens: turns.at(-1)?.droppedTokens,
    cachedShare,
    computed,
    msPerTurn,
  },
});
process.exit(0);
