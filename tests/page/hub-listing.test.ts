import { expect, test } from 'vitest';
import { readListing } from '../../demo/models/hub-listing.ts';
import { ChunkwiseError } from '../../src/api/index.ts';
import { expectError } from '../support/expect-error.ts';

const REPO = 'owner/tiny-GGUF';
const FILE = 'tiny-Q8_0.gguf';
const PAGE = `https://huggingface.co/${REPO}`;
const CREATED = '2024-11-02T10:20:30.000Z';
const LISTING = {
  id: REPO,
  createdAt: CREATED,
  lastModified: '2025-01-01T00:00:00.000Z',
  tags: ['gguf', 'license:mit'],
  cardData: { license: 'apache-2.0' },
  siblings: [
    { rfilename: 'README.md', size: 10 },
    { rfilename: FILE, size: 1234, lfs: { sha256: 'f00' } },
  ],
};
const read = (listing: unknown) => readListing(listing, REPO, FILE);

test('date, size and licence come from the listing; the date is the creation of the repository, not its last change', () => {
  expect(read(LISTING)).toEqual({ created: Date.parse(CREATED), bytes: 1234, license: 'apache-2.0', licenseUrl: PAGE });
  expect(read({ ...LISTING, createdAt: undefined }).created).toBe(Date.parse(LISTING.lastModified));
});

test.each<[unknown, unknown, string | undefined, string]>([
  [
    { license: 'other', license_name: 'llama3.2', license_link: 'https://example.org/terms' },
    [],
    'llama3.2',
    'https://example.org/terms',
  ],
  [{ license: 'other' }, [], 'other', PAGE],
  [{ license: ['a', 'b'] }, ['license:mit'], 'mit', PAGE],
  [undefined, ['license:mit'], 'mit', PAGE],
  [null, 'license:mit', undefined, PAGE],
  [{ license: 'mit', license_link: 'LICENSE' }, [], 'mit', PAGE],
  [{ license: 'mit', license_link: 'javascript:alert(1)' }, [], 'mit', PAGE],
  [{ license: 'mit', license_link: 'http://example.org' }, [], 'mit', PAGE],
  [{ license: '', license_link: 3 }, [4, null], undefined, PAGE],
])('the licence of card %j and tags %j is %s at %s', (cardData, tags, license, licenseUrl) => {
  expect(read({ ...LISTING, cardData, tags })).toMatchObject({ license, licenseUrl });
});

test.each<[unknown, string]>([
  [undefined, 'siblings'],
  ['text', 'siblings'],
  [[LISTING], 'siblings'],
  [{ ...LISTING, siblings: { 0: LISTING.siblings[1] } }, 'siblings'],
  [{ ...LISTING, siblings: [null, 3, { rfilename: 'other.gguf', size: 1 }] }, 'siblings'],
  [{ ...LISTING, siblings: [{ rfilename: FILE }] }, 'size'],
  [{ ...LISTING, siblings: [{ rfilename: FILE, size: '1234' }] }, 'size'],
  [{ ...LISTING, siblings: [{ rfilename: FILE, size: -1 }] }, 'size'],
  [{ ...LISTING, siblings: [{ rfilename: FILE, size: 1e300 }] }, 'size'],
  [{ ...LISTING, createdAt: 'soon' }, 'createdAt'],
  [{ ...LISTING, createdAt: 1730542830000 }, 'createdAt'],
  [{ ...LISTING, createdAt: null, lastModified: {} }, 'createdAt'],
])('%j is refused for its %s', (listing, field) => expectError(() => read(listing), 'bad_file', { file: REPO, field }));

/** Copies of `value` in which each nested value in turn is replaced by `odd`. */
function* mutations(value: unknown, odd: unknown): Generator<unknown> {
  yield odd;
  if (Array.isArray(value))
    for (const [i, each] of value.entries()) for (const changed of mutations(each, odd)) yield value.with(i, changed);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, each] of Object.entries(value))
      for (const changed of mutations(each, odd)) yield { ...value, [key]: changed };
  }
}

test('a listing with any value anywhere is read or refused by name', () => {
  const wrong: unknown[] = [];
  let accepted = 0;
  for (const odd of [
    undefined,
    null,
    true,
    0,
    -1,
    0.5,
    1e300,
    '',
    'x',
    '\u202e',
    '[]',
    [],
    [[]],
    {},
    { length: 1e9 },
    'x'.repeat(100_000),
  ]) {
    for (const listing of mutations(LISTING, odd)) {
      try {
        const { created, bytes, license = '', licenseUrl } = read(listing);
        accepted++;
        const isRight =
          !Number.isNaN(new Date(created).getTime()) &&
          Number.isSafeInteger(bytes) &&
          bytes > 0 &&
          typeof license === 'string' &&
          licenseUrl === PAGE;
        if (!isRight) wrong.push(listing);
      } catch (error) {
        if (!(error instanceof ChunkwiseError && error.code === 'bad_file')) wrong.push(error);
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(accepted).toBeGreaterThan(50);
});
