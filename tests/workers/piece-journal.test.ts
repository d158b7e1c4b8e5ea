import { expect, test } from 'vitest';
import { journalHead, readJournal } from '../../src/storage/opfs-pieces.ts';

const NOTE = { url: 'https://example.org/m.gguf', size: 2500, version: '"1"', pieceBytes: 1000 };
const HEAD = JSON.stringify(journalHead(NOTE));

test('is read as it was written; the last line of a piece counts', () => {
  const lines = [
    HEAD,
    '{"piece":2,"sha256":"aa"}',
    '{"piece":0,"sha256":"bb"}',
    '{"verified":true}',
    '{"piece":2,"sha256":"cc"}',
    '',
  ];
  const pieces = new Map([
    [2, 'cc'],
    [0, 'bb'],
  ]);
  expect(readJournal(lines.join('\n'))).toEqual({ note: NOTE, pieces, isVerified: true });
});

test('holds only complete lines if it is cut off anywhere', () => {
  const text = `${HEAD}\n{"piece":0,"sha256":"aa"}\n{"piece":1,"sha256":"bb"}\n`;
  for (let end = 0; end <= text.length; end++) {
    const read = readJournal(text.slice(0, end));
    if (end < HEAD.length) expect(read).toBeUndefined();
    else for (const [piece, sha256] of read?.pieces ?? []) expect(sha256).toBe(['aa', 'bb'][piece]);
  }
});

test.each([
  '',
  'null',
  '{"version":1}',
  '{"version":3}',
  HEAD.replace('2500', '-1'),
  HEAD.replace('1000', '0'),
  HEAD.replace('"url"', '"other"'),
])('a head such as %s is none', (head) => expect(readJournal(`${head}\n{"piece":0,"sha256":"aa"}\n`)).toBeUndefined());

test('skips invalid lines', () => {
  const lines = [
    HEAD,
    '{"piece":9,"sha256":"aa"}',
    '{"piece":-1,"sha256":"aa"}',
    '{"piece":1}',
    'null',
    '[',
    '{"piece":1,"sha256":"dd"}',
  ];
  expect(readJournal(lines.join('\n'))?.pieces).toEqual(new Map([[1, 'dd']]));
});
