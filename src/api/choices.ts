import { MAX_STREAMS } from '../config/max-streams.ts';
import type { SentOptions } from '../../workers/protocol.ts';
import type { Usage } from './types.ts';

interface Chunk {
  choices: { index: number }[];
  usage?: Usage | null;
}

/** What each of `count` answers to one request is asked with: seeds follow each other. */
export function optionsOfChoices(options: SentOptions, count: number): SentOptions[] {
  const { sampling } = options;
  return Array.from({ length: count }, (_, i) => ({
    ...options,
    sampling: { ...sampling, seed: (sampling.seed + i) >>> 0 },
    ...(i > 0 && { isFurther: true }),
  }));
}

/**
 * The same answers, of which all wait until the first has begun: by then the prompt that they share is computed. Where it
 * cannot begin, none does.
 */
export function afterTheFirst<T>(answers: readonly AsyncGenerator<T, void>[]): AsyncGenerator<T, void>[] {
  let begin: () => void = () => undefined;
  let refuse: (error: unknown) => void = () => undefined;
  const begun = new Promise<void>((resolve, reject) => ([begin, refuse] = [resolve, reject]));
  begun.catch(() => undefined); // of one answer nobody waits
  return answers.map(async function* wait(answer, i): AsyncGenerator<T, void> {
    try {
      if (i > 0) await begun;
      for await (const event of answer) {
        if (i === 0) begin();
        yield event;
      }
    } catch (error) {
      if (i === 0) refuse(error);
      throw error;
    } finally {
      if (i === 0) begin();
    }
  });
}

/**
 * Chunks of several answers as they come, each with its answer's index; the usage of all in the last one. As many are
 * read at once as there are streams. What ends one with an error, or the reader, ends all.
 */
export async function* mergeChunks<C extends Chunk>(
  answers: readonly AsyncGenerator<C, void>[],
): AsyncGenerator<C, void> {
  const running = new Map<number, Promise<{ index: number; next: IteratorResult<C, void> }>>();
  const waiting = [...answers.entries()];
  const usages: C[] = [];
  const pull = (index: number, answer: AsyncGenerator<C, void>): void => {
    const next = answer.next().then((result) => ({ index, next: result }));
    next.catch(() => undefined); // of those, the first to be awaited is told
    running.set(index, next);
  };
  try {
    for (const [index, answer] of waiting.splice(0, MAX_STREAMS)) pull(index, answer);
    while (running.size > 0) {
      const { index, next } = await Promise.race(running.values());
      if (next.done) {
        running.delete(index);
        for (const [later, answer] of waiting.splice(0, 1)) pull(later, answer);
        continue;
      }
      if (next.value.usage) usages.push(next.value);
      else yield withIndex(next.value, index);
      // Not before: who leaves at this chunk has asked for no further token.
      pull(index, answers[index] as AsyncGenerator<C, void>);
    }
  } finally {
    await Promise.allSettled(answers.map((answer) => answer.return()));
  }
  if (usages[0]) yield { ...usages[0], usage: sumOf(usages) };
}

/** Several answers in one, each read whole by `read`; what else it says is the first one's. What ends one with an error ends all. */
export async function mergeAnswers<T, A extends Chunk>(
  answers: readonly AsyncGenerator<T, void>[],
  read: (events: AsyncIterable<T>) => Promise<A>,
): Promise<A> {
  const done: A[] = [];
  const waiting = [...answers.entries()];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift())
      done[next[0]] = withIndex(await read(next[1]), next[0]);
  };
  try {
    await Promise.all(Array.from({ length: Math.min(MAX_STREAMS, answers.length) }, work));
  } finally {
    await Promise.allSettled(answers.map((answer) => answer.return()));
  }
  return { ...(done[0] as A), choices: done.flatMap(({ choices }) => choices), usage: sumOf(done) };
}

const withIndex = <C extends Chunk>(chunk: C, index: number): C => ({
  ...chunk,
  choices: chunk.choices.map((choice) => ({ ...choice, index })),
});

/** The prompt counts once, though each answer has it. */
function sumOf(answers: readonly Chunk[]): Usage {
  const usages = answers.flatMap(({ usage }) => usage ?? []);
  const first = usages[0] as Usage;
  const completion = usages.reduce((sum, { completion_tokens }) => sum + completion_tokens, 0);
  const forced = usages.reduce((sum, usage) => sum + usage.completion_tokens_details.forced_tokens, 0);
  return {
    ...first,
    completion_tokens: completion,
    total_tokens: first.prompt_tokens + completion,
    completion_tokens_details: { forced_tokens: forced },
  };
}
