/** Compiles grammars and computes token masks in its own thread, so that the engine's other answers continue. */
import { transfer } from 'comlink';
import { openGrammars } from '../src/grammar/open-grammars.ts';
import type { ResponseFormat } from '../src/grammar/response-format.ts';
import type { GrammarVocabulary, Grammars, NextTokens, TokenGrammar } from '../src/grammar/token-grammar.ts';
import { serveThread } from './threads.ts';

export interface GrammarWorker {
  open(vocabulary: GrammarVocabulary): void;
  begin(id: number, format: ResponseFormat): Promise<Pick<TokenGrammar, 'ignored' | 'first'>>;
  follow(id: number, tokens: readonly number[]): Promise<NextTokens | undefined>;
  foresee(id: number, tokens: readonly number[]): Promise<NextTokens[]>;
  end(id: number): void;
}

let grammars: Grammars | undefined;
const answers = new Map<number, TokenGrammar>();

function answerOf(id: number): TokenGrammar {
  const answer = answers.get(id);
  if (!answer) throw new Error(`no answer ${id} has a grammar`);
  return answer;
}

const worker: GrammarWorker = {
  open: (vocabulary) => void (grammars = openGrammars(() => vocabulary)),

  async begin(id, format) {
    if (!grammars) throw new Error('open() must be called first');
    const answer = await grammars.begin(format);
    answers.set(id, answer);
    return { ignored: answer.ignored, first: answer.first };
  },

  async follow(id, tokens) {
    const next = await answerOf(id).follow(tokens);
    return next && transfer(next, [next.mask.buffer]);
  },

  async foresee(id, tokens) {
    const after = await answerOf(id).foresee(tokens);
    return transfer(
      after,
      after.map(({ mask }) => mask.buffer),
    );
  },

  end: (id) => void answers.delete(id),
};

serveThread(worker);
