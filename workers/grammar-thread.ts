import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { Grammars, GrammarVocabulary } from '../src/grammar/token-grammar.ts';
import type { GrammarWorker } from './grammar.worker.ts';
import { LazyThread, openThread, type StartThread } from './threads.ts';

/** Compiles grammars in a thread that starts with the first request for one. If it ends, its answers fail, and the next request starts another. */
export function grammarsIn(startThread: StartThread, vocabulary: () => GrammarVocabulary): Grammars {
  const lost = (failure?: Error): ChunkwiseError => {
    const reason = `the thread that compiles grammars ${failure ? `failed: ${failure.message}` : 'ended'}`;
    return new ChunkwiseError('unsupported', { field: 'response_format', reason });
  };
  const lazy = new LazyThread(() => {
    const opened = openThread<GrammarWorker>(startThread, 'grammar', lost);
    void opened.thread.open(vocabulary());
    return opened;
  });
  let nextId = 1;
  return {
    async begin(format) {
      const { thread, ended } = lazy.get();
      const id = nextId++;
      const { ignored, first } = await Promise.race([thread.begin(id, format), ended]);
      return {
        ignored,
        first,
        follow: (tokens) => Promise.race([thread.follow(id, tokens), ended]),
        foresee: (tokens) => Promise.race([thread.foresee(id, tokens), ended]),
        dispose: () => void thread.end(id),
      };
    },
    dispose: () => void lazy.take()?.thread.endThread(),
  };
}
