import { describe, expect, it } from 'vitest';
import {
  BOUNDARY,
  BoundaryDetector,
  Chunker,
  type ChunkerOptions,
  DEFAULT_CHUNKER,
  type Span,
} from '../../src/chunking/chunker.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';

interface Input {
  complexities: number[];
  boundaries: number[];
}

/** Stretches of easy and hard tokens with boundaries strewn in. */
function randomInput(random: Random, length: number): Input {
  let base = 0.5;
  const complexities = Array.from({ length }, () => {
    if (random.below(40) === 0) base = random.next();
    return Math.min(1, Math.max(0, base + 0.2 * random.normal()));
  });
  const boundaries = complexities.map(() => (random.below(6) === 0 ? 1 + random.below(3) : 0));
  return { complexities, boundaries };
}

function randomOptions(random: Random): ChunkerOptions {
  const minLength = 1 + random.below(12);
  return {
    budget: 0.5 + 20 * random.next(),
    minLength,
    maxLength: minLength + random.below(100),
    slack: random.below(24),
    jump: 0.1 + random.next(),
    tile: 1 + random.below(8),
  };
}

function chunksOf({ complexities, boundaries }: Input, options: Partial<ChunkerOptions>): Span[] {
  const chunker = new Chunker(options);
  return [
    ...complexities.flatMap((each, i) => chunker.push(each, { before: 0, after: boundaries[i]! })),
    ...chunker.finish(),
  ];
}

/** A stateless implementation of the rules over the whole text. */
function referenceChunks({ complexities, boundaries }: Input, options: ChunkerOptions): Span[] {
  const { budget, minLength, maxLength, slack, jump, tile } = options;
  const reach = Math.floor(slack / 2);
  const total = complexities.length;
  const sum = (from: number, to: number) => complexities.slice(from, to).reduce((a, b) => a + b, 0);
  const mean = (from: number, to: number) => sum(from, to) / (to - from);
  const variance = (from: number, to: number) =>
    complexities.slice(from, to).reduce((all, each) => all + (each - mean(from, to)) ** 2, 0);
  const spans: Span[] = [];
  for (let start = 0; start < total; start = spans.at(-1)!.end) {
    let target = total;
    for (let end = start + 1; end <= total; end++) {
      const isFull = end - start >= minLength && sum(start, end) >= budget;
      const before = end - reach;
      const jumps = reach > 0 && before - start >= minLength;
      if (isFull || end - start === maxLength) target = end;
      else if (jumps && Math.abs(mean(before, end) - mean(start, before)) > jump) {
        const splits = Array.from({ length: reach }, (_, i) => before + i);
        const errors = splits.map((split) => variance(start, split) + variance(split, end));
        target = splits[errors.indexOf(Math.min(...errors))]!;
      } else continue;
      break;
    }
    const last = Math.min(target + reach, start + maxLength, total);
    const candidates: number[] = [];
    for (let end = Math.max(start + minLength, target - reach); end <= last; end++) candidates.push(end);
    candidates.sort(
      (a, b) =>
        boundaries[b - 1]! - boundaries[a - 1]! ||
        Number(b % tile === 0) - Number(a % tile === 0) ||
        Math.abs(a - target) - Math.abs(b - target) ||
        a - b,
    );
    const reached = target < total || sum(start, total) >= budget || total - start === maxLength;
    const end = reached && candidates.length > 0 ? candidates[0]! : total;
    spans.push({ start, end, complexity: mean(start, end) });
  }
  return spans;
}

const SEEDS = Array.from({ length: 60 }, (_, i) => i + 1);

describe.each(SEEDS)('random text and options %i', (seed) => {
  const random = new Random(seed);
  const input = randomInput(random, 50 + random.below(600));
  const options = seed % 4 === 0 ? DEFAULT_CHUNKER : randomOptions(random);
  const total = input.complexities.length;
  const chunks = chunksOf(input, options);

  it('is covered without gaps, by chunks within the bounds', () => {
    expect(chunks[0]!.start).toBe(0);
    expect(chunks.at(-1)!.end).toBe(total);
    chunks.forEach(({ start, end }, i) => {
      if (i > 0) expect(start).toBe(chunks[i - 1]!.end);
      expect(end - start).toBeLessThanOrEqual(options.maxLength);
      if (i < chunks.length - 1) expect(end - start).toBeGreaterThanOrEqual(options.minLength);
    });
  });

  it('is cut as the rules say', () => {
    const reference = referenceChunks(input, options);
    expect(chunks.map(({ end }) => end)).toEqual(reference.map(({ end }) => end));
    chunks.forEach(({ complexity }, i) => expect(complexity).toBeCloseTo(reference[i]!.complexity, 12));
  });

  it('gives equal chunks token by token and at once, never later than the slack', () => {
    const chunker = new Chunker(options);
    const known: Span[] = [];
    for (let i = 0; i < total; i++) {
      for (const chunk of chunker.push(input.complexities[i]!, { before: 0, after: input.boundaries[i]! })) {
        expect(i + 1).toBeLessThanOrEqual(chunk.end + options.slack);
        known.push(chunk);
      }
    }
    known.push(...chunker.finish());
    expect(JSON.stringify(known)).toBe(JSON.stringify(chunks));
  });

  it('keeps every chunk that ends more than the slack before an edit', () => {
    for (let trial = 0; trial < 10; trial++) {
      const i = random.below(total);
      const edited = { complexities: [...input.complexities], boundaries: [...input.boundaries] };
      // Later complexities may change as well: the model learns from the edit.
      for (let j = i; j < total; j++) edited.complexities[j] = random.next();
      edited.boundaries[i] = random.below(4);
      const before = ({ end }: Span) => end <= i - options.slack;
      expect(chunksOf(edited, options).filter(before)).toEqual(chunks.filter(before));
    }
  });
});

describe('chunks', () => {
  const flat = (length: number, complexity: number): Input => ({
    complexities: Array<number>(length).fill(complexity),
    boundaries: Array<number>(length).fill(0),
  });

  it('are short in hard text and long in easy text', () => {
    const longest = (complexity: number) =>
      Math.max(...chunksOf(flat(1000, complexity), {}).map((c) => c.end - c.start));
    expect(longest(1)).toBeLessThan(longest(0.5));
    expect(longest(0.5)).toBeLessThan(longest(0.1));
    expect(longest(0)).toBe(DEFAULT_CHUNKER.maxLength);
  });

  it('end at jumps of complexity', () => {
    for (const [low, high] of [
      [0.05, 0.9],
      [0.9, 0.05],
    ]) {
      const input = flat(120, low!);
      input.complexities.fill(high!, 40);
      const ends = chunksOf(input, { budget: 1000 }).map(({ end }) => end);
      expect(ends[0]).toBe(40);
    }
  });

  it('prefer the strongest boundary in reach, and no boundary out of reach', () => {
    const input = flat(60, 0.5);
    const end = () => chunksOf(input, { budget: 10, slack: 8, tile: 1 })[0]!.end;
    expect(end()).toBe(20);
    input.boundaries[24] = BOUNDARY.block;
    expect(end()).toBe(20);
    input.boundaries[16] = BOUNDARY.sentence;
    expect(end()).toBe(17);
    input.boundaries[22] = BOUNDARY.line;
    expect(end()).toBe(23);
  });

  it('end at a multiple of the tile among equal boundaries', () => {
    const ends = chunksOf(flat(400, 0.53), { tile: 8 }).slice(0, -1);
    expect(ends.length).toBeGreaterThan(5);
    for (const { end } of ends) expect(end % 8).toBe(0);
  });

  it.each([
    ['minLength', { minLength: 0 }],
    ['minLength', { minLength: 1.5 }],
    ['maxLength', { minLength: 8, maxLength: 7 }],
    ['slack', { slack: -1 }],
    ['tile', { tile: NaN }],
    ['budget', { budget: 0 }],
    ['jump', { jump: NaN }],
  ])('refuse a bad %s', (field, options) => expectError(() => new Chunker(options), 'bad_request', { field }));
});

describe('boundaries', () => {
  /** Boundary strength after each token, as the chunker sees it when the next token arrives. */
  const strengths = (tokens: string[]) => {
    const detector = new BoundaryDetector();
    const found = tokens.map((token) => detector.push(token));
    return found.map(({ after }, i) => Math.max(after, found[i + 1]?.before ?? 0));
  };
  const { none, sentence, line, block } = BOUNDARY;

  it.each([
    [
      'sentences',
      [' It', ' ends', '.', ' So', '?', '"', ' He'],
      [none, none, sentence, none, sentence, sentence, none],
    ],
    ['no decimal point, no initial', [' 3', '.', '14', ' J', '.', ' Bach'], [none, none, none, none, none, none]],
    [
      'lines and paragraphs, before their breaks',
      ['a', '\n', 'bee', '.', '\n\n', 'c', '\n', ' ', '\n', 'd'],
      [line, none, none, block, none, line, none, none, none, none],
    ],
    [
      'fences, in parts',
      ['``', '`js', '\n', 'x', ';', '\n', '```', '\n'],
      [none, block, none, none, line, none, block, none],
    ],
    ['a space after a sentence is part of the next', ['One', '.', ' ', 'Two'], [none, sentence, none, none]],
    ['no fence inside a line', ['use ', '```', '\n'], [none, line, none]],
  ])('%s', (_, tokens, expected) => expect(strengths(tokens)).toEqual(expected));

  it('start the next chunk with the line break', () => {
    const chunker = new Chunker({ budget: 20, minLength: 4 });
    const detector = new BoundaryDetector();
    const texts = [...Array<string>(35).fill(' word'), '\n', ...Array<string>(20).fill(' word')];
    const spans = texts.flatMap((text) => chunker.push(0.5, detector.push(text)));
    expect(spans[0]).toMatchObject({ start: 0, end: 35 });
  });
});
