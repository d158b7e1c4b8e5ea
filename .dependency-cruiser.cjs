const { existsSync, readdirSync } = require('node:fs');

// Imports point down only. Folders on one line are peers and do not import each other; every line may import the lines
// above it. `NAME/*` are the files of a folder itself. `from` and `to` are regular expressions over paths from the
// repository's root.
const PRODUCT = [
  ['src/errors', 'src/util'],
  ['src/config'],
  ['src/architectures'],
  ['src/weights', 'src/tokenizer', 'src/chunking', 'src/grammar', 'src/hub', 'src/functions'],
  ['src/gpu', 'src/downloads'],
  ['src/kernels'],
  ['src/cache', 'src/adapters'],
  ['src/layers'],
  ['src/models'],
  ['src/session'],
  ['src/engine', 'src/storage'],
  ['src/measure'],
  ['workers'],
  ['src/api'],
  ['src/ai-sdk', 'src/node', 'src/react', 'src/service-worker', 'src/web-llm'],
  ['demo', 'cli'],
];

/** What develops the product: first what is shared, then what stands by itself. */
const SHARED = [
  ['tests/reference'],
  ['tools/setup'],
  ['tools/instruments'],
  ['tests/support'],
  ['tests/llama', 'tests/naga', 'tests/openai-server', 'tests/fuzz'],
  ['e2e/support'],
  ['e2e/clients', 'e2e/react-app', 'e2e/web-llm-app'],
  ['bench/support'],
];
const TOPS = [['tools/*'], ['tools/mutants'], ['tests/tooling']];
const named = [...SHARED, ...TOPS].flat();
const foldersIn = (parent) =>
  (existsSync(parent) ? readdirSync(parent, { withFileTypes: true }) : [])
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `${parent}/${name}`);
const ALONE = ['tests', 'e2e', 'bench'].flatMap(foldersIn).filter((folder) => !named.includes(folder));

const LAYERS = [...PRODUCT, ...SHARED, [...ALONE, 'tests/*', 'e2e/*', 'bench/*'], ...TOPS];

/** A pattern for everything inside these folders. */
const inside = (folders) =>
  folders.map((folder) => (folder.endsWith('/*') ? `^${folder.slice(0, -1)}[^/]+$` : `^${folder}/`)).join('|');

const layerRules = LAYERS.flatMap((peers, depth) =>
  peers.flatMap((folder) => {
    const barred = LAYERS.slice(depth)
      .flat()
      .filter((other) => other !== folder);
    if (barred.length === 0) return [];
    return {
      name: `down-only: ${folder}`,
      severity: 'error',
      from: { path: inside([folder]) },
      to: { path: inside(barred) },
    };
  }),
);

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'reference: leaves only',
      comment: 'The reference on the CPU must not share code with what it checks.',
      severity: 'error',
      from: { path: '^tests/reference/' },
      to: {
        path: '^(src|workers|demo|cli|tests|e2e|bench|tools)/',
        pathNot: inside(['tests/reference', 'src/config', 'src/weights', 'src/errors']),
      },
    },
    {
      name: 'demo: public API only',
      comment: 'The page is an app like any other: what it needs and cannot reach belongs in src/api.',
      severity: 'error',
      from: { path: '^demo/' },
      to: { path: '^(src|workers)/', pathNot: '^src/(api|service-worker)/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-dead-module',
      comment: 'Nothing that a user can start reaches this module: it is dead, or only tests use it.',
      severity: 'error',
      from: { path: ['^src/[^/]+/index\\.ts$', '^workers/[^/]+\\.worker\\.ts$', '^cli/', '^demo/'] },
      to: {
        path: ['^src/', '^workers/'],
        pathNot: ['^src/[^/]+/index\\.ts$', '\\.worker\\.ts$'],
        reachable: false,
      },
    },
    {
      name: 'no-unresolvable',
      comment: 'tests/llama has a package of its own, which its first test installs.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: ['\\?(raw|worker&inline)$', '^node-llama-cpp$'] },
    },
    {
      name: 'no-undeclared-package',
      comment:
        'What the package runs on must be in dependencies or peerDependencies, not in devDependencies alone or nowhere.',
      severity: 'error',
      from: { path: '^(src|workers)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only', 'npm-peer'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['/dist', '^tests/llama/node_modules', '^e2e/apps/', '^bench/support/peers/pages/.*\\.js$'] },
    tsPreCompilationDeps: true,
    // ESM and .ts extensions are written out; no alias needs a tsconfig to be resolved.
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
