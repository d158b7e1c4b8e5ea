import { expect, it } from 'vitest';
import { type Bounds, decimals, integers } from '../../src/grammar/number-ranges.ts';

/** These grammars have digits, points and signs alone, and what both notations share. */
function toRegExp(ebnf: string | undefined): RegExp {
  if (ebnf === undefined) return /(?!)/;
  return new RegExp(
    `^(${ebnf.replaceAll('nothing{300}', '').replaceAll('"."', '\\.').replaceAll('"', '').replaceAll(' ', '')})$`,
  );
}

const isWithin = (value: number, { least = -Infinity, most = Infinity, aboveLeast, belowMost }: Bounds): boolean =>
  value >= least && value <= most && !(aboveLeast && value === least) && !(belowMost && value === most);

it('allow exactly the integers within bounds', () => {
  const ends = [-1234, -130, -100, -17, -10, -9, -1, 0, 1, 5, 10, 99, 101, 1000, 1205];
  for (const least of [undefined, ...ends]) {
    for (const most of [undefined, ...ends]) {
      for (const open of [{}, { aboveLeast: least !== undefined, belowMost: most !== undefined }]) {
        const bounds = { least, most, ...open };
        const pattern = toRegExp(integers(bounds));
        for (let value = -1300; value <= 1300; value++) {
          if (pattern.test(String(value)) !== isWithin(value, bounds)) expect([bounds, value]).toBe('told rightly');
        }
        expect(pattern.test('-') || pattern.test('01') || pattern.test('')).toBe(false);
      }
    }
  }
});

it('allow only numbers within bounds, their ends among them where they are closed', () => {
  const ends = [-12.5, -2, -1.25, -0.1, 0, 0.001, 0.3, 1, 2.75, 100];
  for (const least of [undefined, ...ends]) {
    for (const most of [undefined, ...ends]) {
      for (const open of [{}, { belowMost: most !== undefined }, { aboveLeast: least !== undefined }]) {
        const bounds: Bounds = { least, most, ...open };
        const pattern = toRegExp(decimals(bounds));
        let found = 0;
        for (let thousandths = -13_000; thousandths <= 101_000; thousandths += 125) {
          for (const text of [
            String(thousandths / 1000),
            (thousandths / 1000).toFixed(3),
            (thousandths / 1000).toFixed(5),
            (thousandths / 1000 + 0.0001).toFixed(4),
          ]) {
            if (!pattern.test(text)) continue;
            found++;
            if (!isWithin(Number(text), bounds)) expect([bounds, text]).toBe('told rightly');
          }
        }
        if ((least ?? -Infinity) + 1 < (most ?? Infinity)) expect([bounds, found > 0]).toEqual([bounds, true]);
      }
    }
  }
  expect(toRegExp(decimals({ least: -1.5, most: 2 })).test('-1.5')).toBe(true);
  expect(toRegExp(decimals({ least: -1.5, most: 2 })).test('2.0')).toBe(true);
  expect(decimals({ least: 1, most: 1, belowMost: true })).toBeUndefined();
});

it('are bounded by ends of any size', () => {
  const allows = (ebnf: string | undefined, ...texts: string[]): boolean[] =>
    texts.map((text) => toRegExp(ebnf).test(text));
  expect(allows(integers({ least: 1e21 }), '', '1', `1${'0'.repeat(21)}`, `9${'0'.repeat(21)}`)).toEqual([
    false,
    false,
    true,
    true,
  ]);
  expect(allows(integers({ most: -1e21 }), '-', '-1', `-1${'0'.repeat(21)}`)).toEqual([false, false, true]);
  expect(allows(integers({ least: 2 ** 53 }), '1000000000000000', '9007199254740992', '9999999999999999')).toEqual([
    false,
    true,
    true,
  ]);
  expect(
    allows(integers({ least: 0, most: 2 ** 63 }), '123456789012345678', '9223372036854775808', '9223372036854775809'),
  ).toEqual([true, true, false]);
  expect(allows(decimals({ least: 1e22 }), '.5', `1${'0'.repeat(22)}.5`)).toEqual([false, true]);
  expect(decimals({ least: 0.1, most: 123456789012345.67 })).toBeUndefined();
  // Read as a double, 999999999.99999999 is 1e9.
  expect(allows(decimals({ least: 0, most: 1e9, belowMost: true }), '999999999.9999', '999999999.99999999')).toEqual([
    true,
    false,
  ]);
});
