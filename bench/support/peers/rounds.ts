import { estimate } from '../statistics.ts';
import type { Answer, AtContext, OpenPeer, Peer, PeerFigures, Question } from './peer.ts';
import { questionOf } from './questions.ts';

export interface RoundSettings {
  /** Tokens of the prompts. */
  contexts: readonly number[];
  /** Timed tokens of an answer. */
  steps: number;
  rounds: number;
}

/** Tokens of a first untimed answer, which compiles. */
const WARM = { tokens: 32, count: 3 };

/** A peer's results of one round. */
interface Round {
  device: string;
  loadMs: number;
  payload?: OpenPeer['payload'];
  peakBytes: number;
  /** In order of the contexts. */
  answers: Answer[];
}

/**
 * Runs each peer in turn with a fresh start per round; every other round runs backwards. A failed peer is not run
 * again.
 */
export async function measureRounds(
  peers: readonly Peer[],
  reference: (adapted: boolean) => Peer,
  settings: RoundSettings,
): Promise<PeerFigures[]> {
  const found = new Map<Peer, Round[]>(peers.map((peer) => [peer, []]));
  const errors = new Map<Peer, string>();
  const expected: Record<string, string[][]> = { true: [], false: [] };
  for (let round = 0; round < settings.rounds; round++) {
    const questions: Question[] = [];
    for (const [i, context] of settings.contexts.entries())
      questions.push(await questionOf(1 + round * settings.contexts.length + i, context, settings.steps + 1));
    for (const adapted of [true, false]) {
      const { answers } = await roundOf(reference(adapted), questions);
      expected[String(adapted)]!.push(answers.map(({ text }) => text));
    }
    for (const peer of round % 2 === 0 ? peers : peers.toReversed()) {
      if (errors.has(peer)) continue;
      try {
        found.get(peer)!.push(await roundOf(peer, questions));
      } catch (error) {
        errors.set(peer, firstLine(error));
      }
      console.log(
        `  round ${round + 1}: ${labelOf(peer)}: ${errors.get(peer) ?? lineOf(found.get(peer)!.at(-1)!, questions)}`,
      );
    }
  }
  for (const peer of peers) await peer.forget?.();
  return peers.map((peer) =>
    figuresOf(peer, errors.get(peer) ?? found.get(peer)!, expected[String(peer.adapted)]!, settings),
  );
}

async function roundOf(peer: Peer, questions: readonly Question[]): Promise<Round> {
  const open = await peer.open();
  try {
    await open.answer(await questionOf(0, WARM.tokens, WARM.count));
    const answers: Answer[] = [];
    for (const question of questions) answers.push(await open.answer(question));
    const { device, loadMs, payload } = open;
    return { device, loadMs, payload, answers, peakBytes: await open.peakBytes() };
  } finally {
    await open.close();
  }
}

export function figuresOf(
  { name, host, type, adapted }: Peer,
  found: string | readonly Round[],
  expected: readonly (readonly string[])[],
  { contexts }: Pick<RoundSettings, 'contexts'>,
): PeerFigures {
  const peer = { name, host, type, adapted };
  if (typeof found === 'string') return { ...peer, error: found };
  const { device = '', payload } = found[0] ?? {};
  const at = (i: number): AtContext => {
    const answers = found.map((round) => round.answers[i]!);
    const shared = answers.map(({ text }, round) => sharedCharacters(text, expected[round]?.[i] ?? ''));
    return {
      decode: estimate(answers.map(({ stepMs }) => estimate(stepMs).median)),
      prefill: estimate(answers.map(({ promptMs }) => promptMs / contexts[i]!)),
      sameAnswers: answers.filter(({ text }, round) => text === expected[round]?.[i]).length,
      sharedCharacters: estimate(shared).median,
      answers: answers.length,
    };
  };
  return {
    ...peer,
    ...{
      device,
      contexts: Object.fromEntries(contexts.map((context, i) => [context, at(i)])),
      load: estimate(found.map(({ loadMs }) => loadMs)),
    },
    ...{ payload, peakBytes: estimate(found.map(({ peakBytes }) => peakBytes)) },
  };
}

function sharedCharacters(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

/** A runtime's error without its stack. */
const firstLine = (error: unknown): string =>
  String(error instanceof Error ? error.message : error)
    .split('\n')[0]!
    .slice(0, 300);

const labelOf = ({ name, host, adapted }: Peer): string => `${name} in ${host}${adapted ? ', adapter' : ''}`;

const lineOf = ({ loadMs, answers, peakBytes }: Round, questions: readonly Question[]): string =>
  [
    `load ${loadMs.toFixed(0)} ms, ${(peakBytes / 1e6).toFixed(0)} MB`,
    ...answers.map(
      ({ promptMs, stepMs }, i) =>
        `at ${questions[i]!.tokens.length} ${estimate(stepMs).median.toFixed(1)} ms a token, prompt ${(promptMs / questions[i]!.tokens.length).toFixed(1)}`,
    ),
  ].join('; ');
