import { describe, expect, it } from 'vitest';
import { StopStrings } from '../../src/tokenizer/tokenizer.ts';
import { Random } from '../support/random.ts';

/** Feeds `pieces` until a stop string is found. */
function run(stops: string[], pieces: string[]): { shown: string; stopped: boolean } {
  const matcher = new StopStrings(stops);
  let shown = '';
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    shown += text;
    if (stopped) return { shown, stopped };
  }
  return { shown: shown + matcher.flush(), stopped: false };
}

describe('StopStrings', () => {
  it('cuts before a stop string that comes in pieces', () => {
    expect(run(['END'], ['one E', 'N', 'D two'])).toEqual({ shown: 'one ', stopped: true });
  });

  it('holds back only text that may begin a stop string', () => {
    const matcher = new StopStrings(['\n\nUser:']);
    expect(matcher.push('Hello\n')).toEqual({ text: 'Hello', stopped: false });
    expect(matcher.push('\n')).toEqual({ text: '', stopped: false });
    expect(matcher.push('x')).toEqual({ text: '\n\nx', stopped: false });
    expect(matcher.flush()).toBe('');
  });

  it('returns nothing after the stop', () => {
    const matcher = new StopStrings(['.']);
    expect(matcher.push('a.b')).toEqual({ text: 'a', stopped: true });
    expect(matcher.push('c')).toEqual({ text: '', stopped: true });
    expect(matcher.flush()).toBe('');
  });

  it('passes everything on without stop strings, or with empty ones', () => {
    expect(run([], ['a', 'b'])).toEqual({ shown: 'ab', stopped: false });
    expect(run([''], ['a', 'b'])).toEqual({ shown: 'ab', stopped: false });
  });

  it('finds a stop string that begins inside a false start of itself', () => {
    expect(run(['aab'], ['a', 'a', 'a', 'b'])).toEqual({ shown: 'a', stopped: true });
  });

  it('shows the text before a stop string and nothing of it, for every split of the text', () => {
    const random = new Random(7);
    const word = (length: number): string => Array.from({ length }, () => 'ab'[random.below(2)]).join('');
    for (let round = 0; round < 2000; round++) {
      const stops = Array.from({ length: 1 + random.below(3) }, () => word(1 + random.below(5)));
      const pieces = Array.from({ length: 1 + random.below(8) }, () => word(random.below(4)));
      const { shown, stopped } = run(stops, pieces);
      const whole = pieces.join('');
      const contains = stops.some((stop) => whole.includes(stop));
      expect({ stops, pieces, stopped }).toEqual({ stops, pieces, stopped: contains });
      expect(whole.startsWith(shown)).toBe(true);
      expect(stops.some((stop) => shown.includes(stop))).toBe(false);
      if (contains) expect(stops.some((stop) => whole.startsWith(stop, shown.length))).toBe(true);
      else expect(shown).toBe(whole);
    }
  });
});
