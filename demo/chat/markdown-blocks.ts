import { getDefaults, Lexer, Tokenizer } from 'marked';
import type { Token, Tokens } from 'marked';

/**
 * Deepest nesting of quotations, lists, links and emphasis, for each of which the parser recurses; deeper content stays
 * text.
 */
const MOST_DEPTH = 20;

/** HTML in an answer is shown as text. */
class AnswerTokenizer extends Tokenizer {
  private depth = 0;

  override html(): undefined {
    return undefined;
  }

  override tag(): undefined {
    return undefined;
  }

  override blockquote(src: string): Tokens.Blockquote | undefined {
    return this.within(() => super.blockquote(src));
  }

  override list(src: string): Tokens.List | undefined {
    return this.within(() => super.list(src));
  }

  override link(src: string): ReturnType<Tokenizer['link']> {
    return this.within(() => super.link(src));
  }

  override reflink(...given: Parameters<Tokenizer['reflink']>): ReturnType<Tokenizer['reflink']> {
    return this.within(() => super.reflink(...given));
  }

  override emStrong(...given: Parameters<Tokenizer['emStrong']>): ReturnType<Tokenizer['emStrong']> {
    return this.within(() => super.emStrong(...given));
  }

  override del(...given: Parameters<Tokenizer['del']>): ReturnType<Tokenizer['del']> {
    return this.within(() => super.del(...given));
  }

  private within<T>(read: () => T | undefined): T | undefined {
    if (this.depth === MOST_DEPTH) return undefined;
    this.depth++;
    try {
      return read();
    } finally {
      this.depth--;
    }
  }
}

/** Parses an answer's Markdown into blocks. */
export const blocksOf = (text: string): Token[] =>
  new Lexer({ ...getDefaults(), gfm: true, breaks: true, tokenizer: new AnswerTokenizer() }).lex(text);
