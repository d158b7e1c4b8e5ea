import { expect, it } from 'vitest';
import { parseCacheName } from '../../src/api/options.ts';

it('takes any name that a file can have', () => {
  for (const name of ['a', 'a/b: ä 😀', '..', 'x'.repeat(200)]) expect(parseCacheName(name)).toBe(name);
});

it.each([[undefined], [7], [''], ['\ud83d'], ['x'.repeat(201)], ['ä'.repeat(34)]])('refuses %j as a name', (name) => {
  expect(() => parseCacheName(name)).toThrow(expect.objectContaining({ code: 'bad_request', detail: { field: 'name', reason: expect.any(String) as string } }) as Error);
});
