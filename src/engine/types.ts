/** The engine's types. */
export type * from './types/answers.ts';
export type * from './types/engine.ts';
export type * from './types/requests.ts';
export type { BatchTrace, LoadProgress } from '../session/session-options.ts';
