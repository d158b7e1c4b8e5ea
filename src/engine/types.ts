/** The engine's types. */
export type * from './types/answers.ts';
export type * from './types/engine.ts';
export type * from './types/requests.ts';
