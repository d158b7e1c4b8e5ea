import { expect, test } from 'vitest';
import { MAX_SEQUENCES } from '../../../src/config/limits.ts';
import { embedded, encoderEngine, encoderSession, scored } from '../../support/encoder-under-test.ts';
import { expectError } from '../../support/expect-error.ts';
import { encoderFolder, expectedTexts } from '../../support/models/encoder-folder.ts';

const { texts, ids } = expectedTexts();
/** More tokens than a context holds, and than the tokenizer reads of any text. */
const LONG = 'the '.repeat(100_000);
const crossFolder = () => encoderFolder({}, 'cross');

test('texts that are empty, too long or of unknown tokens are refused by name; a very long one is not tokenized to its end', async () => {
  const engine = await encoderEngine(encoderFolder());
  const first = (inputs: (string | number[])[]) => engine.embed(inputs, {}).next();
  await expectError(() => first(['a', []]), 'bad_request', { field: 'input[1]', reason: /no tokens/ });
  for (const token of [1000, 2 ** 32, Number.MAX_SAFE_INTEGER])
    await expectError(() => first(['a', [1, token]]), 'bad_request', { field: 'input[1]', reason: /vocabulary/ });
  await expectError(() => first(['a', LONG]), 'context_overflow', {
    field: 'input[1]',
    reason: new RegExp(`${engine.contextLength} tokens .*${LONG.length} characters`),
  });
  await expectError(
    () => first([ids[0]!.concat(new Array<number>(engine.contextLength).fill(1))]),
    'context_overflow',
    { field: 'input[0]' },
  );
  expect(await embedded(engine, [])).toEqual([]);
  const cross = await encoderEngine(crossFolder());
  await expectError(() => cross.rerank('the', ['a', LONG], {}).next(), 'context_overflow', {
    field: 'documents[1]',
    reason: new RegExp(`${LONG.length} characters`),
  });
  await expectError(() => cross.rerank(LONG, ['a'], {}).next(), 'context_overflow', {
    field: 'query',
    reason: new RegExp(`${LONG.length} characters`),
  });
});

test('white space and control characters score like an empty text; unknown characters and lone surrogates get a finite score', async () => {
  const engine = await encoderEngine(crossFolder());
  const [nothing, spaces, controls, unknown, half] = await scored(engine, 'the', [
    '\u200b',
    ' \n\t ',
    '\0\u0007',
    '\u{10ffff}\ufffd',
    '\ud800',
  ]);
  expect([spaces, controls]).toEqual([nothing, nothing]);
  for (const score of [nothing, unknown, half]) expect(score).toSatisfy(Number.isFinite);
});

test('an abort ends the computation after the current batch, and leaves no state', async () => {
  const session = await encoderSession(encoderFolder());
  const many = Array.from({ length: 400 }, (_, i) => ids[i % ids.length]!);
  await session.encode(ids);
  const before = session.recorder.dispatches;
  await session.encode(ids);
  const ofBatch = session.recorder.dispatches - before;
  const controller = new AbortController();
  const encoding = session.encode(many, controller.signal);
  controller.abort();
  await expectError(() => encoding, 'aborted', {});
  expect(session.recorder.dispatches - before).toBe(2 * ofBatch);

  const engine = await encoderEngine(encoderFolder());
  const alone = await embedded(engine, texts);
  await Promise.all(
    Array.from({ length: 2 * MAX_SEQUENCES }, async (_, i) => {
      const controller = new AbortController();
      const next = engine
        .embed(
          many.map((tokens) => [...tokens]),
          { signal: controller.signal },
        )
        .next();
      setTimeout(() => controller.abort(), i);
      await expectError(() => next, 'aborted', {});
    }),
  );
  expect(await embedded(engine, texts)).toEqual(alone);
});
