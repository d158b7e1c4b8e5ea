// Exact match on questions of articles that the squad adapter was not trained on: ranks by chunk against the whole
// adapter, one rank with the same mean, the levels in random order, and the base.
import { type Answers, answerQuestions, formatAnswers } from '../../cli/evaluations/squad.ts';
import { readPrompt } from '../../cli/evaluations/squad-file.ts';
import { bootstrap, type Estimate, formatEstimate, mean } from '../../cli/statistics.ts';
import type { RankOptions } from '../../src/engine/types.ts';
import { loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutQuestions } from '../support/texts.ts';

const ADAPTER = 'squad';
const RUNS: Record<'base' | 'uniform' | 'chunkwise' | 'equalMeanRank' | 'shuffled', RankOptions | null> = {
  base: null,
  uniform: { ranks: 'uniform' },
  chunkwise: {},
  equalMeanRank: { ranks: 'uniform', equalMeanRank: true },
  shuffled: { ranks: 'shuffled' },
};

const questions = await heldOutQuestions();
const prompt = await readPrompt(undefined);
const runs: Record<string, Answers> = {};
let device = '';
for (const [name, options] of Object.entries(RUNS)) {
  // One engine per run, so that no run reuses another's prefix cache.
  const engine = await openInNode();
  if (options !== null) await loadAdapter(engine, ADAPTER);
  const adapters = options === null ? [] : [{ name: ADAPTER, scale: 1 }];
  const answered = await answerQuestions(engine, questions, prompt, { adapters, ...options });
  console.log(`${name}: ${formatAnswers(answered)}`);
  runs[name] = answered;
  device = engine.device;
  engine.dispose();
}
const { chunkwise } = runs as Record<keyof typeof RUNS, Answers>;
/** Points that chunkwise gains, paired by question. */
const lead = (other: Answers): Estimate =>
  bootstrap(chunkwise.answers.length, (indices) => {
    const hits = ({ answers }: Answers) => mean(indices.map((i) => answers[i]?.exactMatch ?? NaN));
    return 100 * (hits(chunkwise) - hits(other));
  });
const section = Object.fromEntries(
  Object.entries(runs).map(([name, run]) => {
    const { exactMatch, f1, meanRank } = run;
    if (run === chunkwise) return [name, { exactMatch, f1, meanRank }];
    const chunkwiseLead = lead(run);
    console.log(`chunkwise answers more than ${name}: ${formatEstimate(chunkwiseLead, 1)} points`);
    return [name, { exactMatch, f1, meanRank, chunkwiseLead }];
  }),
);
await record('adapter-squad', device, { questions: questions.length, ...section });
process.exit(0);
