import { open } from 'node:fs/promises';
import { policyOf } from '../../src/cache/policy.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { eachLogits } from '../measure/evaluate.ts';
import { kvOptions, LOGITS_FLAGS } from '../command-flags.ts';
import { listFlag, parseFlags, refuse, refuseFlags, required } from '../flags.ts';
import type { Output } from '../output.ts';
import { type ModelNeeds, withModel } from '../open-model.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';

/** `logits`: writes the logits of every position of a text, float32 little-endian `[T, vocab]`, to a file. */
export async function logits(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, LOGITS_FLAGS);
  refuseFlags(values, ['kv-shadow'], 'no errors are reported of logits');
  const out = required('out', values.out);
  const listed = listFlag('tokens', values.tokens);
  if ((listed === undefined) === (values.text === undefined)) refuse('--text', 'give either --text or --tokens');
  const policy = policyOf(kvOptions(values));
  const check: ModelNeeds['check'] = ({ vocabSize, contextLength }) => {
    const wrong = listed?.find((token) => token >= vocabSize);
    if (wrong !== undefined) refuse('--tokens', `${wrong} is not in the vocabulary of ${vocabSize}`);
    if (listed && listed.length > contextLength)
      refuse('--tokens', `${listed.length} tokens exceed the context of ${contextLength}`);
  };
  const recorder = new PlanRecorder();
  const ranks = { ...(await rankOptions(values)), onPlan: recorder.add };
  return withModel(
    values,
    async (engine, uses) => {
      const { vocabSize } = (await engine.session()).plan.config;
      const limits = { maxTokens: engine.contextLength, field: '--text' };
      const tokens = listed ?? engine.tokenizer.encode(values.text ?? '', limits);
      if (tokens.length === 0) refuse('--text', 'has no tokens');
      const file = await open(out, 'w').catch((cause: unknown) => {
        throw new ChunkwiseError(
          'bad_request',
          { file: out, field: '--out', reason: `cannot be written: ${String(cause)}` },
          { cause },
        );
      });
      try {
        const writes: Promise<unknown>[] = [];
        const write = (start: number, _length: number, values: Float32Array): void => {
          writes.push(file.write(new Uint8Array(values.buffer), 0, values.byteLength, start * vocabSize * 4));
        };
        const adaptation = await engine.adapt(uses, ranks);
        await engine.alone((session) => eachLogits(session, tokens, write, { adaptation, policy }));
        await Promise.all(writes);
        await recorder.save(values['save-plan']);
      } finally {
        await file.close();
      }
      const shape = [tokens.length, vocabSize];
      return { json: { tokens, shape }, text: `float32 [${shape.join(', ')}] in ${out}` };
    },
    { check },
  );
}
