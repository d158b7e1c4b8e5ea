/** Models for the AI SDK that run on an engine. */
export { decisionModel } from './decision-model.ts';
export type { DecisionModel, DecisionOptions } from './decision-model.ts';
export { languageModel } from './language-model.ts';
export type { LanguageModel } from './prompt.ts';
export { LazyEngine } from './lazy-engine.ts';
export type { Runtime } from './lazy-engine.ts';
export { embeddingModel, rerankingModel } from './retrieval-models.ts';
export type { EmbeddingModel, RerankingModel } from './retrieval-models.ts';
