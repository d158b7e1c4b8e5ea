import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { closestTo, groundsOf, likeliest, passagesOf, SENTENCE, sentencesOf } from '../../demo/desk/passages.ts';
import { cpuMs } from '../support/cpu-time.ts';

const cut = (text: string): string[] => sentencesOf(text).map(({ start, end }) => text.slice(start, end));

test('sentences end before a capital or digit, at empty lines and at the end, not after initials and titles', () => {
  expect(
    cut('  Dr. J. Smith left. “Why?” He was 4.5 feet tall!\n2 went.\n\nA title\n \nlower. case, e.g. this '),
  ).toEqual(['Dr. J. Smith left.', '“Why?”', 'He was 4.5 feet tall!', '2 went.', 'A title', 'lower. case, e.g. this']);
  expect(cut(' \n ')).toEqual([]);
});

test('adapters are trained on texts that are split by the same expression', () => {
  const source = readFileSync(new URL('../../tools/train/functions.py', import.meta.url), 'utf8');
  const trained = /SENTENCE = re\.compile\(\s*r"(.*)",\s*re\.DOTALL/.exec(source)?.[1];
  expect(trained?.replaceAll('\\"', '"')).toBe(SENTENCE.source);
});

test('passages hold all sentences once, in order, whole, and within the limits', () => {
  const text = Array.from({ length: 300 }, (_, i) => `Sentence ${i} ${'word '.repeat(i % 40)}ends.`).join(' ');
  const passages = passagesOf(text);
  const sentences = passages.flatMap(({ sentences }) => sentences);
  expect(sentences).toEqual(sentencesOf(text));
  for (const { sentences } of passages) {
    expect(sentences.at(-1)!.end - sentences[0]!.start).toBeLessThanOrEqual(1000);
  }
  expect(passages.length).toBeLessThan(text.length / 700); // a passage is filled
  expect(passagesOf(' One is here. Two is there. ')[0]?.text).toBe('One is here. Two is there.');
  expect(passagesOf(`${'x'.repeat(1500)}. After.`)).toHaveLength(2);
});

test('sentences longer than a passage are cut at white space, if there is some, and between characters', () => {
  for (const text of ['слово '.repeat(700).trim(), '句'.repeat(3000), '🙂'.repeat(1500), `x${'🙂'.repeat(1500)}`]) {
    const passages = passagesOf(text);
    for (const passage of passages) {
      expect(passage.text.length).toBeLessThanOrEqual(1000);
      expect(passage.text.isWellFormed()).toBe(true);
    }
    expect(passages.map((passage) => passage.text).join(text.includes(' ') ? ' ' : '')).toBe(text);
  }
});

test('a text of white space or of marks is split in a moment', () => {
  const started = cpuMs();
  for (const mark of [' ', '\n', '. ', '.', '\n\n ', 'A.)']) sentencesOf(`x${mark.repeat(50_000)}y`);
  expect(cpuMs() - started).toBeLessThan(10_000);
});

test('an answer rests on the sentence that has its words, whole, and most of the question’s', () => {
  const text = 'In 1910 it was lit. The lamp has 10 wicks. The keeper had 10 cats. She left.';
  const [passage] = passagesOf(text);
  const rests = (question: string, answer: string) => {
    const grounds = groundsOf(text, passage!.sentences, { question, answer });
    return grounds && [text.slice(grounds.sentence.start, grounds.sentence.end), grounds.start];
  };
  expect(rests('How many cats had the keeper?', '10')).toEqual(['The keeper had 10 cats.', text.lastIndexOf('10')]);
  expect(rests('How many wicks has the lamp?', '10')).toEqual(['The lamp has 10 wicks.', text.indexOf('10 wicks')]);
  expect(rests('When was it lit?', '1910')?.[0]).toBe('In 1910 it was lit.');
  expect(rests('Who left?', 'He')).toBeUndefined();
  expect(rests('Who left?', '')).toBeUndefined();
});

test('of many passages, those come first that share the question’s rare words', () => {
  const about = (word: string) => `The ${word} of the island is old. ${'It stands there still. '.repeat(40)}\n\n`;
  const passages = passagesOf(['lamp', 'mill', 'harbour', 'church', 'school'].map(about).join(''));
  expect(passages.length).toBeGreaterThan(4);
  const [first, ...others] = likeliest(passages, 'Is the harbour of the island old?', 3);
  expect(first?.text).toContain('harbour');
  expect(others).toHaveLength(2);
  expect(likeliest(passages.slice(0, 2), 'Who?', 3)).toEqual(passages.slice(0, 2));
});

test('the sentence closest to a question shares its rare words', () => {
  const text = 'The old mill is closed. The old harbour of the island is small. The old church of the town is tall.';
  const sentences = sentencesOf(text);
  expect(closestTo('How large is the old harbour of the island?', text, sentences)).toEqual(sentences[1]);
  expect(closestTo('Who?', text, [])).toBeUndefined();
});
