import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

/** A small repository of files with imports only; `bad` names the rules that an import must break. */
const FILES: Record<string, { imports: string; typeOnly?: true; bad?: string[] }[]> = {
  'src/errors/e.ts': [],
  'src/util/u.ts': [{ imports: '../errors/e.ts', bad: ['down-only: src/util'] }],
  'src/config/c.ts': [{ imports: '../errors/e.ts' }, { imports: '../util/u.ts' }],
  'src/architectures/a.ts': [
    { imports: '../config/c.ts' },
    { imports: '../weights/w.ts', bad: ['down-only: src/architectures'] },
  ],
  'src/tokenizer/t.ts': [{ imports: '../config/c.ts' }],
  'src/weights/w.ts': [
    { imports: '../config/c.ts' },
    { imports: '../tokenizer/t.ts', bad: ['down-only: src/weights'] },
  ],
  'src/chunking/c.ts': [{ imports: '../errors/e.ts' }],
  'src/gpu/g.ts': [
    { imports: '../engine/types.ts', typeOnly: true, bad: ['down-only: src/gpu'] },
    { imports: 'for-development', bad: ['no-undeclared-package'] },
    { imports: 'for-users' },
  ],
  'src/gpu/dead.ts': [{ imports: '../errors/e.ts' }],
  'src/downloads/d.ts': [{ imports: '../weights/w.ts' }, { imports: '../gpu/g.ts', bad: ['down-only: src/downloads'] }],
  'src/kernels/k.ts': [
    { imports: '../gpu/g.ts' },
    { imports: '../../shaders/k.wgsl?raw' },
    { imports: './missing.ts', bad: ['no-unresolvable'] },
  ],
  'src/cache/p.ts': [{ imports: '../kernels/k.ts' }, { imports: '../adapters/a.ts', bad: ['down-only: src/cache'] }],
  'src/adapters/a.ts': [{ imports: '../weights/w.ts' }],
  'src/layers/a.ts': [{ imports: './b.ts', bad: ['no-circular'] }],
  // A cycle is reported once.
  'src/layers/b.ts': [{ imports: './a.ts' }, { imports: '../cache/p.ts' }],
  'src/models/m.ts': [
    { imports: '../layers/a.ts' },
    { imports: '../architectures/a.ts' },
    { imports: '../../tests/reference/r.ts', bad: ['down-only: src/models'] },
  ],
  'tests/reference/r.ts': [
    { imports: '../../src/weights/w.ts' },
    { imports: '../../src/chunking/c.ts', bad: ['reference: leaves only'] },
  ],
  'src/session/s.ts': [
    { imports: '../models/m.ts' },
    { imports: '../engine/types.ts', bad: ['down-only: src/session'] },
  ],
  'src/storage/s.ts': [
    { imports: '../downloads/d.ts' },
    { imports: '../engine/types.ts', bad: ['down-only: src/storage'] },
  ],
  'src/measure/m.ts': [
    { imports: '../session/s.ts' },
    { imports: '../../workers/protocol.ts', bad: ['down-only: src/measure'] },
  ],
  'src/measure/measured.ts': [],
  'src/engine/types.ts': [],
  'src/engine/en.ts': [
    { imports: '../session/s.ts' },
    { imports: '../chunking/c.ts' },
    { imports: '../../workers/protocol.ts', bad: ['down-only: src/engine'] },
  ],
  'workers/protocol.ts': [],
  'workers/engine.worker.ts': [
    { imports: '../src/engine/en.ts' },
    { imports: '../src/storage/s.ts' },
    { imports: '../src/api/index.ts', bad: ['down-only: workers'] },
  ],
  'src/api/index.ts': [{ imports: '../../workers/protocol.ts' }],
  'src/service-worker/index.ts': [
    { imports: '../api/index.ts' },
    { imports: '../../cli/main.ts', bad: ['down-only: src/service-worker'] },
  ],
  'demo/main.ts': [
    { imports: '../src/api/index.ts' },
    { imports: '../src/engine/types.ts', bad: ['demo: public API only'] },
  ],
  'cli/main.ts': [{ imports: '../src/measure/m.ts' }, { imports: '../tests/models.ts', bad: ['down-only: cli'] }],
  'tools/setup/s.ts': [
    { imports: '../../src/errors/e.ts' },
    { imports: '../../tests/support/s.ts', bad: ['down-only: tools/setup'] },
  ],
  'tests/support/s.ts': [{ imports: '../../cli/main.ts' }],
  'tests/support/high.ts': [{ imports: '../cache/c.ts', bad: ['down-only: tests/support'] }],
  'tests/fuzz/f.ts': [{ imports: '../support/s.ts' }],
  'tests/cache/c.ts': [
    { imports: '../support/s.ts' },
    { imports: '../fuzz/f.ts' },
    { imports: '../grammar/g.ts', bad: ['down-only: tests/cache'] },
    { imports: '../../e2e/page/p.ts', bad: ['down-only: tests/cache'] },
    { imports: '../../tools/other.ts', bad: ['down-only: tests/cache'] },
  ],
  'tests/grammar/g.ts': [],
  'tests/stress/s.ts': [],
  'e2e/support/s.ts': [
    { imports: '../../tests/support/s.ts' },
    { imports: '../../tests/grammar/g.ts', bad: ['down-only: e2e/support'] },
  ],
  'e2e/page/p.ts': [
    { imports: '../support/s.ts' },
    { imports: '../react-app/main.ts' },
    { imports: '../package/p.ts', bad: ['down-only: e2e/page'] },
  ],
  'e2e/package/p.ts': [],
  'e2e/react-app/main.ts': [],
  'bench/support/s.ts': [
    { imports: '../../e2e/support/s.ts' },
    { imports: '../main.ts', bad: ['down-only: bench/support'] },
  ],
  'bench/main.ts': [
    { imports: '../src/measure/measured.ts' },
    { imports: './cache/c.ts', bad: ['down-only: bench/*'] },
  ],
  'bench/cache/c.ts': [],
  'tools/stress.ts': [
    { imports: '../tests/stress/s.ts' },
    { imports: './setup/s.ts' },
    { imports: '../tests/tooling/t.ts', bad: ['down-only: tools/*'] },
  ],
  'tools/other.ts': [],
  'tests/tooling/t.ts': [{ imports: '../../tools/other.ts' }],
  'tests/models.ts': [],
  'tests/x.test.ts': [{ imports: './reference/r.ts' }, { imports: '../src/gpu/dead.ts' }],
};

interface Report {
  summary: { violations: { rule: { name: string }; from: string; to: string }[] };
}

let folder = '';
let violations: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'layers-'));
  for (const [path, imports] of Object.entries(FILES)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    const lines = imports.map(({ imports: target, typeOnly }) =>
      typeOnly ? `import type { T } from '${target}';` : `import '${target}';`,
    );
    await writeFile(join(folder, path), [...lines, 'export const nothing = 0;'].join('\n'));
  }
  await mkdir(join(folder, 'shaders'));
  await writeFile(join(folder, 'shaders/k.wgsl'), '');
  const manifest = { dependencies: { 'for-users': '*' }, devDependencies: { 'for-development': '*' } };
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  for (const name of ['for-users', 'for-development']) {
    const home = join(folder, 'node_modules', name);
    await mkdir(home, { recursive: true });
    await writeFile(join(home, 'package.json'), JSON.stringify({ name, main: 'index.js' }));
    await writeFile(join(home, 'index.js'), '');
  }

  const cruiser = join(ROOT, 'node_modules/.bin/depcruise');
  const config = join(ROOT, '.dependency-cruiser.cjs');
  const args = [
    'src',
    'workers',
    'demo',
    'cli',
    'e2e',
    'bench',
    'tools',
    'tests',
    '--config',
    config,
    '--output-type',
    'json',
  ];
  // It exits with an error if rules are broken, which is expected here.
  const output = await new Promise<string>((done) => {
    execFile(cruiser, args, { cwd: folder }, (_failed, stdout) => done(stdout));
  });
  const report = JSON.parse(output) as Report;
  violations = report.summary.violations.map(({ rule, from, to }) => `${rule.name} | ${from} | ${to}`);
});

afterAll(() => rm(folder, { recursive: true }));

describe('the layer rules', () => {
  const cases = Object.entries(FILES).flatMap(([from, imports]) =>
    imports.map(({ imports: target, bad = [] }) => ({ from, target, bad })),
  );

  it.each(cases)('$from → $target breaks $bad', ({ from, target, bad }) => {
    const to = target.startsWith('.') ? join(dirname(from), target).replace('?raw', '') : target;
    const broken = violations
      .filter((violation) => {
        const [, source = '', end = ''] = violation.split(' | ');
        return source === from && (end === to || end === target || end.includes(`node_modules/${target}/`));
      })
      .map((violation) => violation.split(' | ')[0]);
    expect(broken.sort()).toEqual([...bad].sort());
  });

  it('find a module that only tests or measurements import', () => {
    const dead = violations.filter((violation) => violation.startsWith('no-dead-module'));
    const found = ['src/gpu/dead.ts', 'src/measure/measured.ts'].map((path) => `no-dead-module | ${path} | ${path}`);
    expect(dead.sort()).toEqual(found);
  });
});
