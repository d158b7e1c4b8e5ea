import { expect, it } from 'vitest';
import { afterTheFirst, mergeAnswers, mergeChunks } from '../../src/api/choices.ts';
import type { Usage } from '../../src/api/types.ts';

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

/** Tells when it begins and when it is ended. */
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

const answersOf = (count: number, told: string[], broken?: number) =>
  Array.from({ length: count }, (_, index) => answer(index, told, index === broken));

it('chunks of all answers come with their index, and one usage in the end, which has the prompt once', async () => {
  const told: string[] = [];
  const chunks: Chunk[] = [];
  for await (const chunk of mergeChunks(answersOf(6, told))) chunks.push(chunk);
  for (let index = 0; index < 6; index++) {
    const own = chunks.filter(({ choices }) => choices[0]?.index === index);
    expect(own.map(({ text }) => text)).toEqual([`${index}.0`, `${index}.1`]);
  }
  expect(chunks).toHaveLength(13);
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { ...usage(21), total_tokens: 30 } });
  // Four streams at once: the fifth begins when one has ended, and chunks of different answers lie between each other.
  expect(told.indexOf('+4')).toBeGreaterThan(told.findIndex((event) => event.startsWith('-')));
  expect(new Set(chunks.slice(0, 4).map(({ choices }) => choices[0]?.index)).size).toBeGreaterThan(1);
});

it('what ends one ends all: an error, and a reader that leaves', async () => {
  const told: string[] = [];
  const read = async (): Promise<void> => {
    for await (const chunk of mergeChunks(answersOf(4, told, 2))) void chunk;
  };
  await expect(read()).rejects.toThrow('broken');
  expect(told.filter((event) => event.startsWith('-')).sort()).toEqual(['-0', '-1', '-2', '-3']);
  const left: string[] = [];
  for await (const chunk of mergeChunks(answersOf(6, left))) if (chunk.text !== '') break;
  expect(left.sort()).toEqual(['+0', '+1', '+2', '+3', '-0', '-1', '-2', '-3']);
});

/** The last choice of an answer, with its usage. */
async function whole(events: AsyncIterable<Chunk>): Promise<Chunk & { usage: Usage }> {
  const chunks: Chunk[] = [];
  for await (const chunk of events) chunks.push(chunk);
  const { text, choices } = chunks.at(-2) as Chunk;
  return { text, choices: choices.map((choice) => ({ ...choice, text })), usage: usage(2) };
}

it('whole answers are one, in order', async () => {
  const told: string[] = [];
  const merged = mergeAnswers(answersOf(6, told), whole);
  expect(told).toEqual(['+0', '+1', '+2', '+3']);
  expect(await merged).toEqual({
    text: '0.1',
    choices: Array.from({ length: 6 }, (_, index) => ({ index, text: `${index}.1` })),
    usage: { ...usage(12), total_tokens: 21 },
  });
});

it('what ends one whole answer with an error ends all', async () => {
  const told: string[] = [];
  await expect(mergeAnswers(answersOf(6, told, 2), whole)).rejects.toThrow('broken');
  expect(told.sort()).toEqual(['+0', '+1', '+2', '+3', '-0', '-1', '-2', '-3']);
});

it('where the first is refused none of the others begins, and all are refused at once', async () => {
  const told: string[] = [];
  async function* refused(): AsyncGenerator<Chunk, void> {
    throw new Error('full');
  }
  const never = new Promise<void>(() => undefined);
  async function* waiting(): AsyncGenerator<Chunk, void> {
    told.push('begun');
    await never;
  }
  const answers = (): AsyncGenerator<Chunk, void>[] => afterTheFirst([refused(), waiting(), waiting()]);
  await expect(mergeChunks(answers()).next()).rejects.toThrow('full');
  await expect(mergeAnswers(answers(), whole)).rejects.toThrow('full');
  expect(told).toEqual([]);
});
