import { policyOf } from '../../src/cache/policy.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { perplexity as evaluate } from '../measure/evaluate.ts';
import { kvOptions, PERPLEXITY_FLAGS } from '../command-flags.ts';
import { parseFlags, readText, required, wholeFlag } from '../flags.ts';
import type { Output } from '../output.ts';
import { withModel } from '../open-model.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';

const DEFAULT_WINDOW = 2048;

/** `perplexity`: the perplexity of a text file over consecutive windows. */
export async function perplexity(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, PERPLEXITY_FLAGS);
  const context = wholeFlag('context', values.context, 2) ?? DEFAULT_WINDOW;
  const start = wholeFlag('start', values.start) ?? 0;
  const maxTokens = wholeFlag('max-tokens', values['max-tokens'], 1) ?? Infinity;
  const kvFlags = kvOptions(values);
  const path = required('text', values.text);
  const text = await readText(path);
  const recorder = new PlanRecorder();
  const ranks = { ...(await rankOptions(values)), onPlan: recorder.add };
  return withModel(
    values,
    async (engine, uses) => {
      const { addBos, bosId } = engine.tokenizer;
      const window = {
        context,
        start,
        maxTokens,
        bosId: addBos ? bosId : undefined,
        ...{ policy: policyOf(kvFlags), shadows: kvFlags.kvShadow },
        adaptation: await engine.adapt(uses, ranks),
      };
      const tokens = engine.tokenizer.encode(text, { addSpecial: false });
      const result = await engine.alone((session) => evaluate(session, tokens, window));
      if (result.tokens === 0) {
        const left = tokens.length - start;
        const reason = `leaves no token to score; the text has ${tokens.length}`;
        throw new ChunkwiseError('bad_request', { file: path, field: left > 1 ? '--max-tokens' : '--start', reason });
      }
      await recorder.save(values['save-plan']);
      const { perplexity, nll, tokens: count, meanRank, kv, memory, memoryPeak } = result;
      const json = { perplexity, nll, tokens: count, meanRank, kv, memory, memoryPeak, device: engine.device };
      return {
        json,
        text: `perplexity ${result.perplexity.toFixed(4)} over ${result.tokens} tokens${uses.length > 0 ? `, mean rank ${result.meanRank.toFixed(2)}` : ''}`,
      };
    },
    { context: { tokens: context, flag: 'context' } },
  );
}
