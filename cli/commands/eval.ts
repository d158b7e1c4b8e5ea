import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { evaluateEstimator } from '../evaluations/estimator.ts';
import { evaluateKv } from '../evaluations/kv.ts';
import { evaluateRetrieval } from '../evaluations/retrieval.ts';
import { evaluateSquad } from '../evaluations/squad.ts';
import type { Output } from '../output.ts';

const EVALUATIONS: Record<string, (args: string[]) => Promise<Output>> = {
  estimator: evaluateEstimator,
  kv: evaluateKv,
  retrieval: evaluateRetrieval,
  squad: evaluateSquad,
};

/** `eval estimator|kv|retrieval|squad`: see each. */
export async function evaluate([name = '', ...args]: string[]): Promise<Output> {
  const run = EVALUATIONS[name];
  if (run) return run(args);
  throw new ChunkwiseError('bad_request', { field: 'eval', reason: `one of ${Object.keys(EVALUATIONS).join(', ')}` });
}
