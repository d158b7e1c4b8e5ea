import type { Architecture } from '../architecture.ts';
import { GEMMA3_LAYERS } from './gemma3.ts';

/**
 * EmbeddingGemma (arXiv 2509.20354; llama.cpp, src/models/gemma-embedding.cpp): Gemma 3's layers, whose tokens see those behind
 * them, too. To transformers it is a Gemma 3 that says `use_bidirectional_attention`.
 */
export const gemmaEmbedding: Architecture = { ...GEMMA3_LAYERS, name: 'gemma-embedding', modelTypes: {} };
