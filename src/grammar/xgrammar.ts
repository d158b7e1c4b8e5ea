import type * as Library from '@mlc-ai/web-xgrammar';

/** The part of @mlc-ai/web-xgrammar that is used. */
export type Xgrammar = Pick<typeof Library, 'Grammar' | 'GrammarCompiler' | 'GrammarMatcher' | 'TokenizerInfo'>;

/** Brings the library: 1.1 MB, so only when a request asks for a grammar. */
export type LoadXgrammar = () => Promise<Xgrammar>;
