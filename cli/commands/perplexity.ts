import { policyOf } from '../../src/cache/kv-options.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { perplexity as evaluate } from '../../src/engine/evaluate.ts';
import { KV_FLAGS, kvOptions, MODEL_FLAGS, numberFlag, parseFlags, required } from '../flags.ts';
import type { Output } from '../output.ts';
import { withModel } from '../open-model.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';
import { readText } from '../read-text.ts';

const FLAGS = {
  ...MODEL_FLAGS,
  ...KV_FLAGS,
  text: { type: 'string' },
  context: { type: 'string' },
  start: { type: 'string' },
  'max-tokens': { type: 'string' },
} as const;

const DEFAULT_WINDOW = 2048;

/** `perplexity`: of a text file, over consecutive windows. */
export async function perplexity(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, FLAGS);
  const context = Math.floor(numberFlag('context', values.context, 2) ?? DEFAULT_WINDOW);
  const policy = policyOf(kvOptions(values));
  const path = required('text', values.text);
  const text = await readText(path);
  const recorder = new PlanRecorder();
  const ranks = { ...(await rankOptions(values)), onPlan: recorder.add };
  const run = withModel(
    values,
    async (engine, uses) => {
      const { addBos, bosId } = engine.tokenizer;
      const window = {
        context,
        start: Math.floor(numberFlag('start', values.start) ?? 0),
        maxTokens: Math.floor(numberFlag('max-tokens', values['max-tokens']) ?? Infinity),
        bosId: addBos ? bosId : undefined,
        policy,
        adaptation: await engine.adapt(uses, ranks),
      };
      const tokens = engine.tokenizer.encode(text, { addSpecial: false });
      const result = await engine.alone((session) => evaluate(session, tokens, window));
      if (result.tokens === 0) {
        throw new ChunkwiseError('bad_request', { file: path, field: '--start', reason: 'no token there to score' });
      }
      await recorder.save(values['save-plan']);
      const { perplexity, nll, tokens: count, meanRank, kv, memoryPeak } = result;
      const json = { ...{ perplexity, nll, tokens: count, meanRank, kv }, memory: engine.memory(), memoryPeak, device: engine.device };
      return { json, text: `perplexity ${result.perplexity.toFixed(4)} over ${result.tokens} tokens${uses.length > 0 ? `, mean rank ${result.meanRank.toFixed(2)}` : ''}` };
    },
    context,
  );
  return run;
}
