import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { edited, editsOf } from '../../tools/mutants/fault.ts';
import { FAULTS } from '../../tools/mutants/faults.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const all = Object.values(FAULTS).flat();

test('each fault’s text occurs exactly once in its file', () => {
  const misplaced = all.flatMap((fault) => {
    const texts = new Map<string, string>();
    try {
      for (const edit of editsOf(fault)) {
        const text = texts.get(edit.file) ?? readFileSync(join(ROOT, edit.file), 'utf8');
        texts.set(edit.file, edited(text, edit));
      }
      return [];
    } catch (error) {
      return [`${fault.id}: ${String(error)}`];
    }
  });
  expect(misplaced).toEqual([]);
});

test('the test files of the faults exist', () => {
  const files = all.flatMap(({ id, tests }) => tests.map((file) => `${id}: ${file}`));
  expect(files.filter((each) => !existsSync(join(ROOT, each.replace(/^.*: /, ''))))).toEqual([]);
  expect(all.filter(({ tests }) => tests.length === 0)).toEqual([]);
});

test('faults have distinct names, and every edit changes its file', () => {
  const ids = all.map(({ id }) => id);
  expect(ids.filter((id, i) => ids.indexOf(id) !== i || !/^[a-z\d]+(-[a-z\d]+)*$/.test(id))).toEqual([]);
  expect(all.flatMap(editsOf).filter(({ find, replace }) => find === replace)).toEqual([]);
});
