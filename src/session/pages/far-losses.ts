import type { CachePolicy } from '../../cache/policy.ts';
import { type FormLoss, LayerLosses } from '../../cache/cache-page.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import type { Transformer } from '../../models/transformer.ts';
import { randomWords } from '../../util/numbers.ts';
import { NO_ADAPTERS } from '../adapter-mix.ts';
import type { ModelPlan } from '../model-plan.ts';
import { Sequence, type SequenceCache } from '../sequence.ts';
import type { PageChanges } from './page-changes.ts';

/** The parts of a session that compute a text. */
interface ComputingSession {
  readonly plan: ModelPlan;
  readonly pageChanges: PageChanges;
  readonly sequences: SequenceCache;
  readonly transformer: Transformer;
  compute(sequence: Sequence, tokens: readonly number[], onBatch: () => undefined): Promise<unknown>;
  release(sequence: Sequence): void;
}

/** Random tokens that the text repeats. */
const REPEATED = 4 * PAGE_TOKENS;
/** Probes of the repetition, one at each page; the last one's result is known two tokens later. */
const TOKENS = 2 * REPEATED + PAGE_TOKENS;

/**
 * Most squared relative change that counts: that of an output that has nothing to do with the former. If old pages had all the
 * attention, only rounding is left for the others, and the computed change may be anything, infinite or NaN.
 */
const MOST_CHANGE = 2;

/** Without the pages before the latest two. */
const PROBING: CachePolicy = {
  key: 'probing',
  probes: ({ tokens, pages }) => {
    const far = pages.slice(0, Math.floor(tokens / PAGE_TOKENS) - 2);
    return tokens > REPEATED ? { pages: [...far.keys()].slice(1), forms: ['sparse'] } : undefined;
  },
};

/**
 * For each layer, as the loss of form `sparse`: the change of its attention output if it attends to no old pages, in a text that
 * repeats random tokens. It is large for the few layers that fetch what stands far back. Takes pages of the cache, and the
 * sequence slot `slot`. Without results if the context is too short, or the cache full of running texts. Errors: `device_lost`.
 */
export async function farLosses(session: ComputingSession, slot: number): Promise<LayerLosses> {
  const { plan, pageChanges, sequences, transformer } = session;
  const { vocabSize } = plan.config;
  if (plan.contextLength < TOKENS || pageChanges.residualShares.length === 0) return new LayerLosses();
  const room = TOKENS / PAGE_TOKENS;
  sequences.makeRoom(room, room);
  if (!transformer.cache.hasRoom(room, room)) return new LayerLosses();
  const once = [...randomWords(REPEATED)].map((word) => word % vocabSize);
  const tokens = [...once, ...once, ...once.slice(0, PAGE_TOKENS)];
  const sequence = new Sequence(NO_ADAPTERS, slot, PROBING);
  try {
    for (let at = 0; at < TOKENS; at += PAGE_TOKENS)
      await session.compute(sequence, tokens.slice(at, at + PAGE_TOKENS), () => undefined);
    const { found, pages } = sequence.probed;
    const bounded = found.map((each): FormLoss => {
      const most = MOST_CHANGE * each.size;
      return { ...each, change: each.change < most ? each.change : most };
    });
    return new LayerLosses(bounded, pages);
  } finally {
    session.release(sequence);
  }
}
