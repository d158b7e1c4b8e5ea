import { describe, expect, test } from 'vitest';
import { unroll } from '../../src/gpu/kernel.ts';

const lines = (...text: string[]): string => text.join('\n');

describe('loops of a shader', () => {
  test('are unrolled once for each number below the constant', () => {
    expect(unroll(lines('a', '#for n in THREE', 'let x#n = y[2u * #n];', '#end', 'b'), { THREE: 3 })).toBe(
      lines('a', 'let x0 = y[2u * 0];', 'let x1 = y[2u * 1];', 'let x2 = y[2u * 2];', 'b'),
    );
  });

  test('may nest and follow each other', () => {
    const source = lines(
      '#for g in TWO',
      '  #for n in ONE',
      'q#g_#n;',
      '  #end',
      'r#g;',
      '#end',
      '#for g in ONE',
      's#g;',
      '#end',
    );
    expect(unroll(source, { ONE: 1, TWO: 2 })).toBe(lines('q0_0;', 'r0;', 'q1_0;', 'r1;', 's0;'));
  });

  test('need an integer constant and an end', () => {
    expect(() => unroll(lines('#for n in MISSING', '#end'), {})).toThrow('MISSING');
    expect(() => unroll(lines('#for n in HALF', '#end'), { HALF: { f32: 0.5 } })).toThrow('HALF');
    expect(() => unroll(lines('#for n in TWO', '#for g in TWO', '#end'), { TWO: 2 })).toThrow('#end');
  });
});
