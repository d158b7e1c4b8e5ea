import { expect, test } from 'vitest';
import { crowdedFolders } from '../../tools/folders.ts';

const files = (folder: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${folder}/${i}.ts`);

test('a folder has 20 files at most, those of its folders apart', () => {
  expect(crowdedFolders([...files('src/a', 20), ...files('src/a/b', 20), ...files('src', 3)])).toEqual([]);
  expect(crowdedFolders([...files('src/a', 21), ...files('src/a/b', 22)])).toEqual([
    'src/a has 21 files, more than 20',
    'src/a/b has 22 files, more than 20',
  ]);
  expect(crowdedFolders(files('.', 21).map((path) => path.slice(2)))).toEqual(['. has 21 files, more than 20']);
});

test('data and documents may be as many as they like, but not what is only called alike', () => {
  expect(crowdedFolders(['tests/fixtures/x', 'demo/public', 'docs', 'bench/results'].flatMap((folder) => files(folder, 30)))).toEqual([]);
  expect(crowdedFolders([...files('src/publicity', 21), ...files('demo/results', 21)])).toHaveLength(2);
});
