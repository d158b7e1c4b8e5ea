import tseslint from 'typescript-eslint';

const DOM_GLOBALS = ['window', 'document', 'navigator', 'localStorage', 'sessionStorage', 'location'];

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
      'no-console': 'off',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['src/**/*.ts', 'workers/**/*.ts', 'demo/**/*.ts', 'cli/**/*.ts'],
    rules: { 'max-lines': ['error', { max: 350, skipBlankLines: false, skipComments: false }] },
  },
  {
    // The same code runs in a worker and in Node: what it needs of the page or the platform is handed to it.
    files: ['src/**/*.ts'],
    ignores: ['src/api/**', 'src/react/**', 'src/service-worker/**', 'src/web-llm/**'],
    rules: { 'no-restricted-globals': ['error', ...DOM_GLOBALS], 'no-console': 'error' },
  },
);
