import tseslint from 'typescript-eslint';

/** What only a page has. */
const PAGE_GLOBALS = ['window', 'document', 'localStorage', 'sessionStorage'];
/** What a worker has too, and Node has not, or otherwise. */
const PLATFORM_GLOBALS = [...PAGE_GLOBALS, 'navigator', 'location'];

export default tseslint.config(
  { ignores: ['**/dist/', '**/dist-*/', '**/.next/', 'docs-site/', '**/node_modules/', 'models/', 'data/', '.cache/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    linterOptions: { reportUnusedDisableDirectives: 'error', noInlineConfig: true },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      // An async method without await is how an interface's promise turns a throw into a rejection.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/ban-ts-comment': ['error', { 'ts-expect-error': true }],
      eqeqeq: 'error',
      'max-params': ['error', 5],
      'no-console': 'off',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    // The same code runs in a worker and in Node: what it needs of the page or the platform is handed to it.
    files: ['src/**/*.ts'],
    ignores: ['src/api/**', 'src/react/**', 'src/service-worker/**', 'src/web-llm/**'],
    rules: { 'no-restricted-globals': ['error', ...PLATFORM_GLOBALS], 'no-console': 'error' },
  },
  {
    // These are the platform's: threads, and the browser's storage. Neither has a page.
    files: ['workers/**/*.ts', 'src/storage/**/*.ts'],
    rules: { 'no-restricted-globals': ['error', ...PAGE_GLOBALS] },
  },
);
