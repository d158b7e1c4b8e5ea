// Exact match over the questions of the articles the squad adapter was not trained on: ranks by chunk beside the whole
// adapter, one rank everywhere with the same mean, the same levels in random order, and the base.
import { evaluateSquad } from '../cli/evaluations/squad.ts';
import { bootstrap, type Estimate, formatEstimate, mean } from '../cli/statistics.ts';
import { ensureModel } from '../tools/fetch-model.ts';
import { demoAdapter } from './engine.ts';
import { record } from './results.ts';
import { SQUAD_FILE } from './texts.ts';

interface Answered {
  questions: number;
  exactMatch: Estimate;
  f1: Estimate;
  meanRank: number;
  answers: { exactMatch: number }[];
  device: string;
}

const ADAPTED = ['--adapter', demoAdapter('squad')];
const RUNS = {
  base: [],
  uniform: [...ADAPTED, '--ranks', 'uniform'],
  chunkwise: ADAPTED,
  equalMeanRank: [...ADAPTED, '--ranks', 'uniform', '--equal-mean-rank'],
  shuffled: [...ADAPTED, '--ranks', 'shuffled'],
};

const model = await ensureModel();
const runs: Record<string, Answered> = {};
for (const [name, flags] of Object.entries(RUNS)) {
  const { json, text } = await evaluateSquad(['--json', '--model', model, '--data', SQUAD_FILE, ...flags]);
  runs[name] = json as unknown as Answered;
  console.log(`${name}: ${text}`);
}
const { base, chunkwise } = runs as Record<keyof typeof RUNS, Answered>;
/** Points that chunkwise answers more, question by question. */
const lead = (other: Answered): Estimate =>
  bootstrap(chunkwise.answers.length, (indices) => {
    const hits = ({ answers }: Answered) => mean(indices.map((i) => answers[i]?.exactMatch ?? NaN));
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
await record('adapter-squad', base.device, { questions: base.questions, ...section });
process.exit(0);
