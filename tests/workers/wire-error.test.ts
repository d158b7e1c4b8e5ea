import { expose, wrap } from 'comlink';
import { afterAll, expect, it } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { carryErrors } from '../../workers/wire.ts';

carryErrors();

const { port1, port2 } = new MessageChannel();
const failures = {
  typed(): void {
    const cause = new RangeError('too far', { cause: 'a string' });
    throw new ChunkwiseError('bad_file', { file: 'a.gguf', field: 'magic', reason: 'is wrong' }, { cause });
  },
  plain(): void {
    throw new TypeError('not a function');
  },
  text(): void {
    // A library may throw a value that is no Error.
    const thrown: unknown = 'just words';
    throw thrown as Error;
  },
};
expose(failures, port2);
const remote = wrap<typeof failures>(port1);

afterAll(() => {
  port1.close();
});

it('sends a whole ChunkwiseError through comlink, with its cause', async () => {
  const error: unknown = await remote.typed().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ChunkwiseError);
  expect(error).toMatchObject({
    code: 'bad_file',
    detail: { file: 'a.gguf', field: 'magic', reason: 'is wrong' },
    message: 'a.gguf: magic: is wrong',
    cause: { name: 'RangeError', message: 'too far', cause: { message: 'a string' } },
  });
  expect((error as Error).stack).toContain('wire-error.test.ts');
});

it('keeps the name and message of other errors, and text of other values', async () => {
  await expect(remote.plain()).rejects.toMatchObject({ name: 'TypeError', message: 'not a function' });
  await expect(remote.text()).rejects.toMatchObject({ message: 'just words' });
});
