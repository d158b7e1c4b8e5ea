import { expect, test } from 'vitest';
import { type Line, textOfPages } from '../../demo/desk/pdf-text.ts';

/** A line per text, 14 points apart; `''` skips a line. */
function page(texts: readonly string[], more: Partial<Line> = {}): Line[] {
  return texts
    .map((text, i) => ({ text, x: 72, y: 700 - 14 * i, size: 11, ...more }))
    .filter(({ text }) => text !== '');
}

const joined = (...pages: Line[][]): string[] => textOfPages(pages).text.split('\n\n');

test('lines become paragraphs at wider distances, indents and other sizes of letters', () => {
  const body = page(['One two', 'three.', '', 'Four', 'five.', 'Six', 'seven.']);
  expect(joined(body)).toEqual(['One two three.', 'Four five. Six seven.']);
  const indented = body.map((line) => ({ ...line, x: line.text === 'Six' ? 84 : 72 }));
  expect(joined(indented)).toEqual(['One two three.', 'Four five.', 'Six seven.']);
  const hanging = body.map((line) => ({ ...line, x: line.text === 'three.' ? 84 : 72 })); // not after a sentence
  expect(joined(hanging)[0]).toBe('One two three.');
  const headed = body.map((line) => ({ ...line, size: line.text === 'Four' ? 14 : 11 }));
  expect(joined(headed)).toEqual(['One two three.', 'Four', 'five. Six seven.']);
});

test('a paragraph goes on in the next column and on the next page, unless a sentence ended', () => {
  const left = page(['It goes', 'on and']);
  const right = page(['on. It', 'ends.'], { x: 320 });
  expect(joined([...left, ...right])).toEqual(['It goes on and on. It ends.']);
  expect(joined(left, right)).toEqual(['It goes on and on. It ends.']);
  expect(joined(right, left)).toEqual(['on. It ends.', 'It goes on and']);
});

test('words cut at a line’s end are joined; a hyphen before a capital stays', () => {
  expect(joined(page(['the light-', 'house of Anne-', 'Marie – soft\u00AD', 'ly']))).toEqual([
    'the lighthouse of Anne-Marie – softly',
  ]);
});

test('tells where each page starts, also pages without text', () => {
  const { text, pageStarts } = textOfPages([page(['']), page(['Ten.']), [], page(['Eleven', 'more.'])]);
  expect(text).toBe('Ten.\n\nEleven more.');
  expect(pageStarts).toEqual([0, 0, 4, 6]);
});
