import { type CachePolicy, DEFAULT_KV_ERROR_BUDGET, type KvOptions, policyOf } from '../../src/cache/policy.ts';
import { type Adaptation, UNADAPTED } from '../../src/engine/adapters.ts';
import { scoreAnswer } from '../measure/evaluate.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { kvOptions, RETRIEVAL_FLAGS } from '../command-flags.ts';
import { parseFlags, readText, refuseFlags, required, wholeFlag } from '../flags.ts';
import { withModel } from '../open-model.ts';
import type { Output } from '../output.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';
import { bootstrap, type Estimate, formatEstimate, mean } from '../statistics.ts';

const DEFAULT_CONTEXT = 4096;
const DEFAULT_DEPTHS = 10;

/** `eval retrieval`: whether the model finds a fact at several depths of a long text, compared with the dense cache. */
export async function evaluateRetrieval(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, RETRIEVAL_FLAGS);
  refuseFlags(values, ['kv-shadow'], 'no errors are reported here');
  const text = await readText(required('text', values.text));
  const context = wholeFlag('context', values.context, 1) ?? DEFAULT_CONTEXT;
  const depths = wholeFlag('depths', values.depths, 1) ?? DEFAULT_DEPTHS;
  const mode: KvOptions = { kv: 'policy', ...kvOptions(values, 'policy') };
  const recorder = new PlanRecorder();
  const ranks = { ...(await rankOptions(values)), onPlan: recorder.add };
  return withModel(
    values,
    async (engine, uses) => {
      const filler = engine.tokenizer.encode(text, { addSpecial: false });
      const cases = await retrievalCases(engine, filler, context, depths);
      const found = await retrieval(engine, cases, mode, { adaptation: await engine.adapt(uses, ranks) });
      await recorder.save(values['save-plan']);
      return {
        json: { context, ...found, device: engine.device },
        text: [...found.cases.map(lineOf), summaryOf(found)].join('\n'),
      };
    },
    { context: { tokens: context, flag: 'context' } },
  );
}

/** A text that contains a fact and later asks for it. */
export interface RetrievalCase {
  /** Tokens before the fact, as a share of the filler. */
  depth: number;
  /** Tokens with the answer, which comes last. */
  tokens: readonly number[];
  answerTokens: number;
  answer: string;
}

/** Invented facts, which no training text contains. */
const PLACES = [
  'Aldmouth',
  'Brackwater',
  'Corvenna',
  'Dunlisk',
  'Eskerry',
  'Farrowgate',
  'Gullhaven',
  'Hestrand',
  'Inverloe',
  'Jorvath',
];

const factOf = (i: number) => {
  const statement = `The secret code of the harbour of ${PLACES[i % PLACES.length]} is`;
  const question = `What is the secret code of the harbour of ${PLACES[i % PLACES.length]}?`;
  return { statement, question, code: ` ${10_000 + ((48_213 + i * 27_644_437) % 90_000)}` };
};

/**
 * Chats of `context` tokens with the answer: the user sends a different part of `filler` each time, with a fact at
 * evenly spread depths, and asks for it; the answer's first words, up to the fact, are given. Errors: `bad_request` if
 * the filler is too short.
 */
export async function retrievalCases(
  engine: LocalEngine,
  filler: readonly number[],
  context: number,
  depths: number,
): Promise<RetrievalCase[]> {
  const { tokenizer } = engine;
  const { plan } = await engine.session();
  const plain = (text: string): number[] => tokenizer.encode(text, { addSpecial: false });
  const textOf = (token: number): string => tokenizer.decode([token]);
  const content = '\u0000';
  const [before = '', after = ''] = renderChat(plan.tokenizer, [{ role: 'user', content }]).split(content);
  const head = tokenizer.encode(before, { parseSpecial: true });
  const turn = tokenizer.encode(after, { addSpecial: false, parseSpecial: true });
  return Array.from({ length: depths }, (_, i) => {
    const { statement, question, code } = factOf(i);
    const fact = plain(`\n${statement}${code}.\n`);
    // Scored from the first digit on; a space before it is irrelevant.
    const spaces = plain(code).findIndex((token) => textOf(token).trim() !== '');
    const tail = [...plain(`\n\n${question}`), ...turn, ...plain(statement), ...plain(code).slice(0, spaces)];
    const answer = plain(code).slice(spaces);
    const room = context - head.length - fact.length - tail.length - answer.length;
    if (room < 1)
      throw new ChunkwiseError('bad_request', {
        field: '--context',
        reason: `${context} tokens leave no room for a text`,
      });
    if (filler.length < room) {
      throw new ChunkwiseError('bad_request', {
        field: '--text',
        reason: `it has ${filler.length} tokens, ${room} are needed`,
      });
    }
    const start = Math.floor(((filler.length - room) * i) / Math.max(1, depths - 1));
    const text = filler.slice(start, start + room);
    const at = sentenceEnd(text, Math.floor((room * (i + 0.5)) / depths), textOf);
    const tokens = [...head, ...text.slice(0, at), ...fact, ...text.slice(at), ...tail, ...answer];
    return { depth: at / room, tokens, answerTokens: answer.length, answer: code.trim() };
  });
}

/** End of the last sentence before `end`, in tokens; `end` if there is none. */
function sentenceEnd(tokens: readonly number[], end: number, textOf: (token: number) => string): number {
  for (let at = end; at > 0; at--) if (/[.!?\n]\s*$/.test(textOf(tokens[at - 1] as number))) return at;
  return end;
}

export interface Retrieved {
  /** Each token was the most probable: greedy decoding gives the fact. */
  found: boolean;
  /** Mean log p of the answer's tokens, in nats. */
  logProb: number;
}

export interface RetrievalResult {
  depth: number;
  answer: string;
  dense: Retrieved;
  mode: Retrieved;
  /** Live bytes of the mode's pages at the end, as a share of the dense cache's. */
  pageBytes: number;
}

export interface Retrieval {
  mode: KvOptions;
  /** Number of facts. */
  depths: number;
  found: { dense: number; mode: number };
  /** Mean log p of an answer's token, in nats. */
  logProb: { dense: number; mode: number };
  /** The mode's value minus the dense cache's; facts are resampled. */
  difference: Estimate;
  cases: RetrievalResult[];
}

interface RetrievalOptions {
  adaptation?: Adaptation;
  /** Default: the mode's. */
  policy?: CachePolicy;
  progress?: (result: RetrievalResult) => void;
}

/** Asks for every fact with the cache in `mode` and with f16 pages. */
export async function retrieval(
  engine: LocalEngine,
  cases: readonly RetrievalCase[],
  mode: KvOptions,
  { adaptation = UNADAPTED, policy = policyOf(mode), progress }: RetrievalOptions = {},
): Promise<Retrieval> {
  const budget = mode.kv === 'policy' ? { kvErrorBudget: DEFAULT_KV_ERROR_BUDGET } : {};
  const results: RetrievalResult[] = [];
  for (const { depth, tokens, answerTokens, answer } of cases) {
    const scored = async (cache: CachePolicy) => {
      const {
        logProbs,
        isGreedy,
        kv: report,
      } = await engine.alone((session) => scoreAnswer(session, tokens, answerTokens, { adaptation, policy: cache }));
      return { found: isGreedy, logProb: mean(logProbs), bytes: mean(Object.values(report.bytes)) };
    };
    const [dense, other] = [await scored(policyOf()), await scored(policy)];
    const retrieved = ({ found, logProb }: Retrieved): Retrieved => ({ found, logProb });
    const result = {
      depth,
      answer,
      dense: retrieved(dense),
      mode: retrieved(other),
      pageBytes: other.bytes / dense.bytes,
    };
    results.push(result);
    progress?.(result);
  }
  const both = <T>(of: (name: 'dense' | 'mode') => T): Record<'dense' | 'mode', T> => ({
    dense: of('dense'),
    mode: of('mode'),
  });
  return {
    mode: { ...budget, ...mode },
    depths: results.length,
    found: both((name) => results.filter((result) => result[name].found).length),
    logProb: both((name) => mean(results.map((result) => result[name].logProb))),
    difference: bootstrap(results.length, (indices) => mean(indices.map((i) => lead(results[i] as RetrievalResult)))),
    cases: results,
  };
}

const lead = ({ mode, dense }: RetrievalResult): number => mode.logProb - dense.logProb;

export function lineOf({ depth, answer, dense, mode, pageBytes }: RetrievalResult): string {
  const told = ({ found, logProb }: Retrieved): string => `${found ? 'found' : 'not found'} (${logProb.toFixed(3)})`;
  return `depth ${depth.toFixed(2)}: ${answer} ${told(mode)}, dense ${told(dense)}, pages ${(100 * pageBytes).toFixed(1)} %`;
}

export const summaryOf = ({ depths, found, difference }: Retrieval): string =>
  `found ${found.mode} of ${depths}, dense ${found.dense}; log p a token differs by ${formatEstimate(difference)} nats`;
