import { expect, it } from 'vitest';
import { mergeChunks, mergeWhole } from '../../src/api/completions.ts';
import type { Usage } from '../../src/api/responses.ts';

interface Chunk {
  text: string;
  choices: { index: number }[];
  usage?: Usage | null;
}

const usage = (completion_tokens: number): Usage => ({
  ...{ prompt_tokens: 9, completion_tokens, total_tokens: 9 + completion_tokens },
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { forced_tokens: completion_tokens },
});

/** Records when it begins and when it ends. */
async function* answer(index: number, told: string[], fails = false): AsyncGenerator<Chunk, void> {
  told.push(`+${index}`);
  try {
    for (let part = 0; part < 2; part++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      yield { text: `${index}.${part}`, choices: [{ index: 0 }], usage: null };
      if (fails) throw new Error('broken');
    }
    yield { text: 'end', choices: [], usage: usage(index + 1) };
  } finally {
    told.push(`-${index}`);
  }
}

const choiceOf = (events: AsyncGenerator<Chunk, void>) => ({ events, write: (chunk: Chunk) => [chunk] });
const choicesOf = (count: number, told: string[], broken?: number) =>
  Array.from({ length: count }, (_, index) => choiceOf(answer(index, told, index === broken)));

it('yields the chunks of all answers with their index, then one usage that counts the prompt once', async () => {
  const told: string[] = [];
  const chunks: Chunk[] = [];
  for await (const chunk of mergeChunks(choicesOf(6, told))) chunks.push(chunk);
  for (let index = 0; index < 6; index++) {
    const own = chunks.filter(({ choices }) => choices[0]?.index === index);
    expect(own.map(({ text }) => text)).toEqual([`${index}.0`, `${index}.1`]);
  }
  expect(chunks).toHaveLength(13);
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { ...usage(21), total_tokens: 30 } });
  // Four answers run at once: the fifth begins when one ends, and their chunks interleave.
  expect(told.indexOf('+4')).toBeGreaterThan(told.findIndex((event) => event.startsWith('-')));
  expect(new Set(chunks.slice(0, 4).map(({ choices }) => choices[0]?.index)).size).toBeGreaterThan(1);
});

it('ends all answers on an error in one, and when the reader leaves', async () => {
  const told: string[] = [];
  const read = async (): Promise<void> => {
    for await (const chunk of mergeChunks(choicesOf(4, told, 2))) void chunk;
  };
  await expect(read()).rejects.toThrow('broken');
  expect(told.filter((event) => event.startsWith('-')).sort()).toEqual(['-0', '-1', '-2', '-3']);
  const left: string[] = [];
  for await (const chunk of mergeChunks(choicesOf(6, left))) if (chunk.text !== '') break;
  expect(left.sort()).toEqual(['+0', '+1', '+2', '+3', '-0', '-1', '-2', '-3']);
});

/** Reads all answers without a chunk, as a request for whole answers does. */
async function readWhole(told: string[], broken?: number): Promise<Chunk[][]> {
  const read: Chunk[][] = Array.from({ length: 6 }, () => []);
  const choices = read.map((chunks, index) => ({
    events: answer(index, told, index === broken),
    write: (chunk: Chunk): Chunk[] => {
      chunks.push(chunk);
      return [];
    },
  }));
  expect(await mergeChunks(choices).next()).toEqual({ value: undefined, done: true });
  return read;
}

it('joins whole answers in order', async () => {
  const told: string[] = [];
  const answers = await readWhole(told);
  expect(told.slice(0, 4)).toEqual(['+0', '+1', '+2', '+3']);
  const whole = answers.map((chunks, index) => {
    const { text, choices } = chunks.at(-2) as Chunk;
    return { text, choices: choices.map((choice) => ({ ...choice, text })), usage: usage(2), index };
  });
  expect(mergeWhole(whole)).toEqual({
    ...{ text: '0.1', index: 0 },
    choices: Array.from({ length: 6 }, (_, index) => ({ index, text: `${index}.1` })),
    usage: { ...usage(12), total_tokens: 21 },
  });
});

it('ends all whole answers when one throws', async () => {
  const told: string[] = [];
  await expect(readWhole(told, 2)).rejects.toThrow('broken');
  expect(told.sort()).toEqual(['+0', '+1', '+2', '+3', '-0', '-1', '-2', '-3']);
});

it('begins no other answer when the first is refused', async () => {
  const told: string[] = [];
  async function* refused(): AsyncGenerator<Chunk, void> {
    throw new Error('full');
  }
  const choices = [refused(), answer(1, told), answer(2, told)].map(choiceOf);
  await expect(mergeChunks(choices).next()).rejects.toThrow('full');
  expect(told).toEqual([]);
});

it('begins the other answers once the first has begun', async () => {
  const told: string[] = [];
  const chunks = mergeChunks(choicesOf(3, told));
  const first = chunks.next();
  expect(told).toEqual(['+0']);
  await first;
  expect(told).toEqual(['+0', '+1', '+2']);
  await chunks.return();
});
