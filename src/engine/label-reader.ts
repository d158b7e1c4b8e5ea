import { GREEDY } from '../config/sampling.ts';
import { largest } from '../config/largest.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { AdaptedText } from '../session/adapted-text.ts';
import { handled } from '../session/handled.ts';
import type { DrawnToken } from '../session/sampling/draw-request.ts';
import { logSumExp } from '../session/sampling/log-sum-exp.ts';
import { commonPrefix } from '../session/sequence-cache.ts';
import type { Session } from '../session/session.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { Adaptation } from './adaptation.ts';
import { labelTokens } from './label-tokens.ts';
import type { Texts } from './texts.ts';
import type { AdapterUse, LabelRead, LabelScores } from './types.ts';

/** What reads run with. */
interface Means {
  /** Of the stream. */
  slot: number;
  adapt: (uses: readonly AdapterUse[]) => Promise<Adaptation>;
  signal: AbortSignal | undefined;
}

interface Read {
  index: number;
  prompt: readonly number[];
  /** Tokens of each label. */
  labels: readonly (readonly number[])[];
  uses: readonly AdapterUse[];
}

/** What stands behind some tokens. */
interface Behind {
  /** `[vocabSize]` */
  logits: Float32Array;
  cachedTokens: number;
}

/**
 * Reads what a chat would be answered with, question by question: the logits behind the prompt, and of labels of several
 * tokens those behind each beginning of one, whose probabilities multiply. Texts stay in the cache, so each read goes on from
 * the one before as far as both are computed alike.
 */
export class LabelReader {
  readonly #reads: readonly Read[];
  /** Tokens that all prompts begin with. */
  readonly #shared: number;
  /** Of the longest text that is computed. */
  readonly mostTokens: number;

  /** Errors: `bad_request`, `unsupported`, `context_overflow`. */
  constructor(texts: Texts, messages: readonly ChatTurn[], reads: readonly LabelRead[]) {
    const tokensOf = labelTokens(texts.tokenizer);
    this.#reads = reads.map(({ text, labels, adapters = [] }, index) => {
      const prompt = texts.unreasoned(withQuestion(messages, text), 'input');
      return { index, prompt: prompt.tokens, labels: tokensOf(prompt, labels), uses: adapters };
    });
    const [first] = this.#reads;
    this.#shared = this.#reads.reduce(
      (length, { prompt }) => Math.min(length, commonPrefix(prompt, first?.prompt ?? [])),
      first?.prompt.length ?? 0,
    );
    const lengths = this.#reads.map(
      ({ prompt, labels }) =>
        prompt.length +
        largest(
          labels.map(({ length }) => length),
          1,
        ) -
        1,
    );
    this.mostTokens = largest(lengths, 0);
    if (this.mostTokens <= texts.contextLength) return;
    const reason = `${this.mostTokens} tokens with a question and its label, in a context of ${texts.contextLength}`;
    throw new ChunkwiseError('context_overflow', { field: 'input', reason });
  }

  /** The scores of each read, in any order. Errors: `aborted`, `device_lost`, `scheduler_lost`; `bad_request` for an adapter. */
  async *scores(session: Session, { adapt, slot, signal }: Means): AsyncGenerator<LabelScores, void> {
    const adapted: AdaptedRead[] = [];
    for (const read of this.#reads) {
      const adaptation = await adapt(read.uses);
      const spans = adaptation.spans(read.prompt);
      const shared = Math.min(this.#shared, spans[1]?.from ?? Infinity);
      adapted.push({ ...read, adaptation, keys: spans.map(({ key }) => key), shared });
    }
    // Those computed alike follow each other, first those of the base, then those that begin with it.
    adapted.sort((a, b) => compare(a.keys.join('\n'), b.keys.join('\n')) || a.index - b.index);
    const parts = new Map<string | undefined, number>();
    for (const { keys, shared } of adapted) parts.set(keys[0], Math.min(shared, parts.get(keys[0]) ?? shared));
    let isFirst = true;
    for (const read of adapted) {
      const part = parts.get(read.keys[0]) ?? 0;
      const behind = (tokens: readonly number[]): Promise<Behind> =>
        readBehind(session, tokens, { slot, adaptation: read.adaptation, part, signal });
      const { cachedTokens, ...scored } = await scoreLabels(read, behind);
      const readAgain = isFirst ? 0 : Math.max(0, read.shared - cachedTokens);
      yield { ...scored, read: read.index, promptTokens: read.prompt, cachedTokens, readAgain };
      isFirst = false;
    }
  }
}

interface AdaptedRead extends Read {
  adaptation: Adaptation;
  /** Each stands for what a part of the text is computed with: the base, or adapters. */
  keys: readonly string[];
  /** Of the tokens that all prompts begin with, those that are computed with the first. */
  shared: number;
}

/**
 * Computes what of a text the cache does not hold, keeps it there, and reads what stands behind it. `part`: where others go on
 * that begin alike. Errors: `bad_request` for an activated adapter that the text does not invoke.
 */
async function readBehind(
  session: Session,
  tokens: readonly number[],
  { slot, adaptation, part, signal }: Pick<Means, 'slot' | 'signal'> & { adaptation: Adaptation; part: number },
): Promise<Behind> {
  const { sequences, draws, plan, trials } = session;
  const sequence = sequences.take(tokens, { spans: adaptation.spans(tokens), slot });
  const cachedTokens = sequence.tokens.length;
  let text: AdaptedText | undefined;
  let drawn: Promise<DrawnToken> | undefined;
  try {
    text = await adaptation.begin(tokens, cachedTokens);
    if (Object.values(text.invokedAt ?? {}).includes(null)) throw notInvoked(text.invokedAt ?? {});
    sequence.attach(text);
    draws.sampler.begin(slot, GREEDY, tokens);
    const draw = { sequence, sampling: GREEDY, position: tokens.length, wantsEntropy: false, wantsLogits: true };
    const onBatch = (_: number, length: number): void => {
      if (sequence.tokens.length + length === tokens.length) drawn = handled(session.sample(length, draw));
    };
    // Layers with a state leave one where a prefill ends.
    const isParted = plan.config.deltaNet && cachedTokens < part && part < tokens.length;
    for (const end of isParted ? [part, tokens.length] : [tokens.length])
      await session.prefill(sequence, tokens.slice(sequence.tokens.length, end), onBatch, signal);
    const { logits } = (await drawn) as unknown as DrawnToken;
    return { logits: logits as Float32Array, cachedTokens };
  } finally {
    await drawn?.catch(() => undefined);
    text?.close();
    trials.drop(sequence);
    sequences.giveBack(sequence);
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The chat with the question. */
function withQuestion(messages: readonly ChatTurn[], question: string): ChatTurn[] {
  const last = messages.at(-1);
  if (last?.role !== 'user') return [...messages, { role: 'user', content: question }];
  return [...messages.slice(0, -1), { ...last, content: `${last.content}\n\n${question}` }];
}

/** `behind`: what stands behind a text. Each beginning of a label is computed once. */
async function scoreLabels(
  { prompt, labels }: Read,
  behind: (tokens: readonly number[]) => Promise<Behind>,
): Promise<Pick<LabelScores, 'logprobs' | 'isLikeliest' | 'cachedTokens'>> {
  const first = await behind(prompt);
  const logprobs = labels.map(() => 0);
  const beginnings = new Map<string, { tokens: readonly number[]; labels: number[] }>();
  labels.forEach((tokens, label) => {
    for (let length = 0; length < tokens.length; length++) {
      const beginning = { tokens: tokens.slice(0, length), labels: [] };
      const known = beginnings.get(beginning.tokens.join()) ?? beginning;
      known.labels.push(label);
      beginnings.set(beginning.tokens.join(), known);
    }
  });
  for (const beginning of beginnings.values()) {
    const at = beginning.tokens.length;
    const { logits } = at === 0 ? first : await behind([...prompt, ...beginning.tokens]);
    const total = logSumExp(logits);
    for (const label of beginning.labels) logprobs[label]! += (logits[labels[label]![at]!] ?? NaN) - total;
  }
  const likeliest = indexOfLargest(first.logits);
  return { logprobs, isLikeliest: labels.some(([token]) => token === likeliest), cachedTokens: first.cachedTokens };
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function notInvoked(invokedAt: Readonly<Record<string, number | null>>): ChunkwiseError {
  const name = Object.keys(invokedAt).find((each) => invokedAt[each] === null);
  const reason = `${name} is activated, and the question does not have the tokens that it begins with`;
  return new ChunkwiseError('bad_request', { field: 'adapter', reason });
}
