import type * as Library from '@mlc-ai/web-xgrammar';

/** The part of @mlc-ai/web-xgrammar that is used. */
export type Xgrammar = Pick<typeof Library, 'Grammar' | 'GrammarCompiler' | 'GrammarMatcher' | 'TokenizerInfo'>;

/** Brings the library: 1.1 MB, so only when a request asks for a grammar. */
export type LoadXgrammar = () => Promise<Xgrammar>;

/** For bundlers, which turn the package into a module. Node needs another loader: it is UMD that calls itself ESM. */
export const importXgrammar: LoadXgrammar = () => import('@mlc-ai/web-xgrammar');
