import { GREEDY } from '../config/sampling.ts';
import { MAX_BRANCHES } from '../config/limits.ts';
import { pagesBeforeWindow } from '../cache/cache-page.ts';
import { type KvCache, pagesFor } from '../cache/kv-cache.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { largest } from '../util/numbers.ts';
import { ChunkwiseError, handled } from '../errors/chunkwise-error.ts';
import type { AdaptedText } from '../session/adapter-mix.ts';
import { type SampledToken, logSumExp } from '../session/sampling/sampler.ts';
import { commonPrefix, type Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { Adaptation } from './adapters.ts';
import type { Texts } from './texts.ts';
import type { AdapterUse, LabelRead, LabelScores } from './types.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** Inputs of a read. */
interface ReadInputs {
  /** Its sequence slot. */
  slot: number;
  /** Cache pages that it may fill. */
  pages: number;
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

/**
 * Scores the labels of each question: from the logits after the prompt, and for a label of several tokens from those
 * after each of its prefixes, whose probabilities multiply. Questions that start with the same adapters share what their
 * prompts have in common, and the batches of the rest. That common text stays in the cache.
 */
export class LabelReader {
  readonly #reads: readonly Read[];
  /** Tokens of the prefix that all prompts share. */
  readonly #shared: number;
  /** Tokens of the longest text that is computed. */
  readonly #mostTokens: number;
  /** Most tokens of a label, without the last. */
  readonly #depth: number;

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
    this.#mostTokens = largest(
      this.#reads.map((read) => read.prompt.length + depthOf(read)),
      0,
    );
    this.#depth = largest(this.#reads.map(depthOf), 0);
    if (this.#mostTokens <= texts.contextLength) return;
    const reason = `${this.#mostTokens} tokens with a question and its label exceed the context of ${texts.contextLength}`;
    throw new ChunkwiseError('context_overflow', { field: 'input', reason });
  }

  /** Cache pages that it may fill: the longest text, and the ends of others in the same batches. */
  get pages(): number {
    const ends = pagesFor(this.#mostTokens - this.#shared) + 1 + this.#depth * LABEL_PAGES;
    return pagesFor(this.#mostTokens) + Math.min(MAX_BRANCHES, this.#reads.length) * ends;
  }

  /**
   * Scores of each read, in any order. Errors: `aborted`, `device_lost`, `scheduler_lost`; `bad_request` for an
   * adapter.
   */
  async *scores(session: Session, inputs: ReadInputs): AsyncGenerator<LabelScores, void> {
    const groups = new Map<string, AdaptedRead[]>();
    for (const read of this.#reads) {
      const adaptation = await inputs.adapt(read.uses);
      const spans = adaptation.spans(read.prompt);
      const shared = Math.min(this.#shared, spans[1]?.from ?? Infinity);
      const adapted = { ...read, adaptation, keys: spans.map(({ key }) => key), shared };
      const key = spans[0]!.key;
      groups.set(key, [...(groups.get(key) ?? []), adapted]);
    }
    let isFirst = true;
    // The base first, with adapters that start after it.
    for (const [, group] of [...groups].sort(([a], [b]) => compare(a, b))) {
      for await (const { read, scores, cachedTokens } of this.#scoreGroup(session, group, inputs)) {
        const readAgain = isFirst ? 0 : Math.max(0, read.shared - cachedTokens);
        const { logprobs, isLikeliest } = scores;
        yield { logprobs, isLikeliest, read: read.index, promptTokens: read.prompt, cachedTokens, readAgain };
        isFirst = false;
      }
    }
  }

  /** Scores reads whose first adapters are the same. */
  async *#scoreGroup(
    session: Session,
    group: readonly AdaptedRead[],
    inputs: ReadInputs,
  ): AsyncGenerator<Scored, void> {
    const part = Math.min(...group.map(({ shared, prompt }) => Math.min(shared, prompt.length - 1)));
    const atOnce = this.#atOnce(group, part, inputs.pages, session.transformer.cache);
    const isAlone = group.length === 1 && depthOf(group[0]!) === 0;
    if (!isAlone && !session.plan.config.deltaNet && atOnce > 0)
      yield* scoreTogether(session, group, { ...inputs, part, atOnce });
    else for (const read of ordered(group)) yield scoreAlone(session, read, { ...inputs, part });
  }

  /** Most reads that the pages allow in the same batches, after a common prefix of `part` tokens; 0 or less if none. */
  #atOnce(group: readonly AdaptedRead[], part: number, pages: number, { windowPages, config }: KvCache): number {
    const most = largest(
      group.map(({ prompt }) => prompt.length),
      0,
    );
    const whole = Math.floor(part / PAGE_TOKENS);
    const each = pagesFor(most) - whole + this.#depth * LABEL_PAGES;
    const held = pagesFor(part);
    // Sliding-window layers free pages of the common prefix, but none of the reads'.
    const free = Math.min(pages - held, windowPages - (held - pagesBeforeWindow(config, part)));
    return Math.min(MAX_BRANCHES, Math.floor(free / each));
  }
}

/** Most pages of a label's token after a question: a copy of the question's last page, and another. */
const LABEL_PAGES = 2;

interface AdaptedRead extends Read {
  adaptation: Adaptation;
  /** Keys of the adapters of each part of the text. */
  keys: readonly string[];
  /** Tokens of the shared prefix that are computed with the first key. */
  shared: number;
}

interface Scored {
  read: AdaptedRead;
  scores: Scores;
  cachedTokens: number;
}

/** Most tokens of a label, without the last. */
const depthOf = ({ labels }: Pick<Read, 'labels'>): number =>
  largest(
    labels.map(({ length }) => length - 1),
    0,
  );

/** Reads with the same adapters follow each other. */
const ordered = (group: readonly AdaptedRead[]): AdaptedRead[] =>
  [...group].sort((a, b) => compare(a.keys.join('\n'), b.keys.join('\n')) || a.index - b.index);

/** The labels' log-probabilities, summed over their tokens as logits arrive. */
class Scores {
  readonly logprobs: number[];
  /** Whether the likeliest token after the prompt begins a label. */
  isLikeliest = false;

  constructor(private readonly labels: readonly (readonly number[])[]) {
    this.logprobs = labels.map(() => 0);
  }

  /** `logits`: after the prompt and `beginning`. Returns the beginnings with one token more whose logits are missing. */
  add(beginning: readonly number[], logits: Float32Array): number[][] {
    const at = beginning.length;
    const total = logSumExp(logits);
    const longer = new Map<number, number[]>();
    if (at === 0) {
      const likeliest = indexOfLargest(logits);
      this.isLikeliest = this.labels.some(([token]) => token === likeliest);
    }
    this.labels.forEach((tokens, label) => {
      const next = tokens[at];
      if (next === undefined || beginning.some((token, i) => token !== tokens[i])) return;
      this.logprobs[label]! += (logits[next] ?? NaN) - total;
      if (tokens.length > at + 1) longer.set(next, [...beginning, next]);
    });
    return [...longer.values()];
  }
}

/** A text whose logits are wanted: tokens after those of a running sequence. */
interface Branch {
  from: Sequence;
  tokens: readonly number[];
  /** The adapters of its tokens; default: those of the sequence. */
  text?: AdaptedText;
  scored: Scored;
  /** Tokens of labels in the text. */
  beginning: readonly number[];
}

/**
 * Computes the first `part` tokens once, then the rest of up to `atOnce` prompts in shared batches. Errors: `bad_request`
 * for an activated adapter that a text does not invoke.
 */
async function* scoreTogether(
  session: Session,
  group: readonly AdaptedRead[],
  { slot, part, atOnce, signal }: ReadInputs & { part: number; atOnce: number },
): AsyncGenerator<Scored, void> {
  const { sequences } = session;
  const first = group[0]!;
  const spans = first.adaptation.spans(first.prompt);
  const trunk = sequences.take(first.prompt.slice(0, part + 1), { spans, slot });
  const cachedTokens = trunk.tokens.length;
  try {
    const text = await begin(first, first.prompt, cachedTokens);
    try {
      trunk.attach(text);
      await session.prefill(trunk, first.prompt.slice(cachedTokens, part), () => undefined, signal);
    } finally {
      text.close();
    }
    for (let start = 0; start < group.length; start += atOnce) {
      const branches: Branch[] = [];
      try {
        for (const read of group.slice(start, start + atOnce)) {
          const own = await begin(read, read.prompt, part);
          const scored = { read, scores: new Scores(read.labels), cachedTokens: read === first ? cachedTokens : part };
          branches.push({ from: trunk, tokens: read.prompt.slice(part), text: own, scored, beginning: [] });
        }
        await scoreBranches(session, branches, { atOnce, signal });
      } finally {
        for (const branch of branches) branch.text?.close();
      }
      for (const { scored } of branches) yield scored;
    }
  } finally {
    sequences.giveBack(trunk);
  }
}

/** Scores at most `atOnce` texts, and those that continue them with tokens of labels. */
async function scoreBranches(
  session: Session,
  branches: readonly Branch[],
  { atOnce, signal }: { atOnce: number; signal: AbortSignal | undefined },
): Promise<void> {
  const { sequences } = session;
  const running: Sequence[] = [];
  try {
    const texts = branches.map(({ from, tokens, text }, i) => {
      const sequence = sequences.branch(from, i);
      running.push(sequence);
      if (text) sequence.attach(text);
      return { sequence, tokens };
    });
    const logits = await session.prefillTogether(texts, signal);
    const longer = branches.flatMap(({ scored, beginning }, i): Branch[] => {
      running[i]!.text = undefined;
      return scored.scores.add(beginning, logits[i]!).map((next) => {
        return { from: running[i]!, tokens: next.slice(-1), scored, beginning: next };
      });
    });
    for (let start = 0; start < longer.length; start += atOnce)
      await scoreBranches(session, longer.slice(start, start + atOnce), { atOnce, signal });
  } finally {
    for (const sequence of running) sequences.prune(sequence);
  }
}

/** Computes each text of a read after the one before, and keeps it in the cache. `part`: where other reads branch off. */
async function scoreAlone(session: Session, read: AdaptedRead, inputs: ReadInputs & { part: number }): Promise<Scored> {
  const scores = new Scores(read.labels);
  const first = await readAfter(session, read, read.prompt, inputs);
  let beginnings = scores.add([], first.logits);
  while (beginnings.length > 0) {
    const longer: number[][] = [];
    for (const beginning of beginnings) {
      const { logits } = await readAfter(session, read, [...read.prompt, ...beginning], inputs);
      longer.push(...scores.add(beginning, logits));
    }
    beginnings = longer;
  }
  return { read, scores, cachedTokens: first.cachedTokens };
}

/** Plans a text of a read. Errors: `bad_request` for an activated adapter that the text does not invoke. */
async function begin({ adaptation }: AdaptedRead, tokens: readonly number[], from: number): Promise<AdaptedText> {
  const text = await adaptation.begin(tokens, from);
  if (!Object.values(text.invokedAt ?? {}).includes(null)) return text;
  text.close();
  throw notInvoked(text.invokedAt ?? {});
}

/** The logits after a text. */
interface After {
  /** `[vocabSize]` */
  logits: Float32Array;
  cachedTokens: number;
}

/** Computes the tokens of a text that are not cached, keeps them, and reads the logits after the last. */
async function readAfter(
  session: Session,
  read: AdaptedRead,
  tokens: readonly number[],
  { slot, part, signal }: ReadInputs & { part: number },
): Promise<After> {
  const { sequences, samples, plan } = session;
  const sequence = sequences.take(tokens, { spans: read.adaptation.spans(tokens), slot });
  const cachedTokens = sequence.tokens.length;
  let text: AdaptedText | undefined;
  let sampled: Promise<SampledToken> | undefined;
  try {
    text = await begin(read, tokens, cachedTokens);
    sequence.attach(text);
    samples.sampler.begin(slot, GREEDY, tokens);
    const sample = { sequence, sampling: GREEDY, position: tokens.length, wantsEntropy: false, wantsLogits: true };
    const onBatch = (_: number, length: number): void => {
      if (sequence.tokens.length + length === tokens.length) sampled = handled(session.batches.sample(length, sample));
    };
    // Layers with a recurrent state save it where a prefill ends.
    const isParted = plan.config.deltaNet && cachedTokens < part && part < tokens.length;
    for (const end of isParted ? [part, tokens.length] : [tokens.length])
      await session.prefill(sequence, tokens.slice(sequence.tokens.length, end), onBatch, signal);
    const { logits } = (await sampled) as unknown as SampledToken;
    return { logits: logits as Float32Array, cachedTokens };
  } finally {
    await sampled?.catch(() => undefined);
    text?.close();
    sequence.probing = undefined;
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

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function notInvoked(invokedAt: Readonly<Record<string, number | null>>): ChunkwiseError {
  const name = Object.keys(invokedAt).find((each) => invokedAt[each] === null);
  const reason = `${name} is an activated adapter, and the question lacks the tokens that invoke it`;
  return new ChunkwiseError('bad_request', { field: 'adapter', reason });
}

interface Prompt {
  text: string;
  tokens: readonly number[];
}

/**
 * The tokens that each label adds after a prompt, as the tokenizer cuts both together. Computes prompts with the same
 * end once. Errors: `bad_request` for a label that changes the prompt's last token, or is a prefix of another.
 */
export function labelTokens(tokenizer: Tokenizer): (prompt: Prompt, labels: readonly string[]) => number[][] {
  const known = new Map<string, number[][]>();
  return (prompt, labels) => {
    const end = endOf(tokenizer, prompt);
    const key = JSON.stringify([end.text, labels]);
    const tokens = known.get(key) ?? cut(end, labels);
    known.set(key, tokens);
    return tokens;
  };
}

interface End extends Prompt {
  encode: (text: string) => number[];
}

/**
 * The prompt from its last control token on, if the tokenizer cuts that part alike on its own; else the whole
 * prompt.
 */
function endOf(tokenizer: Tokenizer, { text, tokens }: Prompt): End {
  const encode = (part: string): number[] => tokenizer.encode(part, { addSpecial: false, parseSpecial: true });
  const start = tokens.findLastIndex((token) => tokenizer.isSpecial(token));
  if (start >= 0) {
    const end = tokens.slice(start);
    const own = tokenizer.tokenText(end[0] as number) + tokenizer.decode(end.slice(1));
    if (encode(own).join() === end.join()) return { text: own, tokens: end, encode };
  }
  return { text, tokens, encode: (part) => tokenizer.encode(part, { parseSpecial: true }) };
}

function cut({ text, tokens, encode }: End, labels: readonly string[]): number[][] {
  const refuse = (label: string, reason: string): never => {
    throw new ChunkwiseError('bad_request', { field: 'labels', reason: `${JSON.stringify(label)} ${reason}` });
  };
  const cut = labels.map((label) => {
    const both = encode(text + label);
    const own = both.slice(tokens.length);
    if (own.length === 0 || tokens.some((token, i) => token !== both[i]))
      return refuse(label, "merges with the prompt's last token, so it cannot be scored");
    return own;
  });
  const whole = new Map(cut.map((own, i) => [own.join(), i]));
  cut.forEach((own, i) => {
    for (let length = 1; length <= own.length; length++) {
      const other = whole.get(own.slice(0, length).join());
      if (other !== undefined && other !== i) refuse(labels[other] as string, `begins ${JSON.stringify(labels[i])}`);
    }
  });
  return cut;
}
