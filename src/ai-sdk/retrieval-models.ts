import type { EmbeddingModel as AnyEmbeddingModel, RerankingModel as AnyRerankingModel } from 'ai';
import type { EmbeddingRequest } from '../api/embeddings.ts';
import type { Engine } from '../api/engine-types.ts';
import { engineOf, type LazyEngine, modelFields } from './lazy-engine.ts';

/** The model type of `embed` and `embedMany`. */
export type EmbeddingModel = Extract<AnyEmbeddingModel, { specificationVersion: 'v4' }>;
/** The model type of `rerank`. */
export type RerankingModel = Extract<AnyRerankingModel, { specificationVersion: 'v4' }>;
type EmbedOptions = Parameters<EmbeddingModel['doEmbed']>[0];
type Embedded = Awaited<ReturnType<EmbeddingModel['doEmbed']>>;
type RerankOptions = Parameters<RerankingModel['doRerank']>[0];
type Reranked = Awaited<ReturnType<RerankingModel['doRerank']>>;

/** Makes an embedding model that calls `engine.embeddings`. `providerOptions.chunkwise` takes an `adapter`. */
export function embeddingModel(engine: Pick<Engine, 'embeddings' | 'model'> | LazyEngine): EmbeddingModel {
  return Object.assign(modelFields(engine), {
    maxEmbeddingsPerCall: undefined,
    supportsParallelCalls: false,
    async doEmbed({ values, dimensions, abortSignal, providerOptions }: EmbedOptions): Promise<Embedded> {
      const { embeddings } = await engineOf(engine, abortSignal);
      const { adapter } = (providerOptions?.['chunkwise'] ?? {}) as Pick<EmbeddingRequest, 'adapter'>;
      const { data, usage } = await embeddings.create(
        { input: values, ...(adapter !== undefined && { adapter }) },
        { ...(abortSignal && { signal: abortSignal }) },
      );
      return {
        embeddings: data.map(({ embedding }) => embedding as number[]),
        usage: { tokens: usage.prompt_tokens },
        warnings: dimensions === undefined ? [] : [{ type: 'unsupported', feature: 'dimensions' }],
      };
    },
  });
}

/**
 * Makes a reranking model that calls `engine.rerank`; needs a cross-encoder. A document that is an object is read as its
 * JSON. `relevanceScore` is the classifier's output, any real number.
 */
export function rerankingModel(engine: Pick<Engine, 'rerank' | 'model'> | LazyEngine): RerankingModel {
  return Object.assign(modelFields(engine), {
    async doRerank({ query, documents, topN, abortSignal }: RerankOptions): Promise<Reranked> {
      const { type, values } = documents;
      const texts = type === 'text' ? values : values.map((value) => JSON.stringify(value));
      const loaded = await engineOf(engine, abortSignal);
      const { results } = await loaded.rerank(
        { query, documents: texts, ...(topN !== undefined && { top_n: topN }) },
        { ...(abortSignal && { signal: abortSignal }) },
      );
      return {
        ranking: results.map(({ index, relevance_score }) => ({ index, relevanceScore: relevance_score })),
        warnings: [],
      };
    },
  });
}
