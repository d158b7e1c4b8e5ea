import type { Remote } from 'comlink';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { Grammars, GrammarVocabulary } from '../src/grammar/token-grammar.ts';
import type { GrammarWorker } from './grammar.worker.ts';
import type { Thread } from './thread.ts';
import { openThread, type StartThread } from './open-thread.ts';

interface GrammarThread {
  thread: Remote<GrammarWorker & Thread>;
  /** Rejects when the thread has ended. */
  ended: Promise<never>;
}

/** Grammars in a thread that starts with the first request for one. When it ends, so do its answers; the next request starts another. */
export function grammarsIn(startThread: StartThread, vocabulary: () => GrammarVocabulary): Grammars {
  let running: GrammarThread | undefined;
  let nextId = 1;

  function started(): GrammarThread {
    const lost = (failure?: Error): ChunkwiseError => {
      const reason = `the thread that compiles grammars ${failure ? `failed: ${failure.message}` : 'ended'}`;
      return new ChunkwiseError('unsupported', { field: 'response_format', reason });
    };
    const { thread, ended } = openThread<GrammarWorker>(startThread, 'grammar', lost);
    const opened: GrammarThread = { thread, ended };
    ended.catch(() => {
      if (running === opened) running = undefined;
    });
    void thread.open(vocabulary());
    return opened;
  }

  return {
    async begin(format) {
      const { thread, ended } = (running ??= started());
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
    dispose() {
      void running?.thread.endThread();
      running = undefined;
    },
  };
}
