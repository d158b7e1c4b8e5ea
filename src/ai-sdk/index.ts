/** Models of the AI SDK on an engine. */
export { decisionModel } from './decision-model.ts';
export type { DecisionModel, DecisionOptions } from './decision-model.ts';
