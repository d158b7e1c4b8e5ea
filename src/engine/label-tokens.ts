import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

interface Prompt {
  text: string;
  tokens: readonly number[];
}

/**
 * Tells the tokens that each of some labels adds behind a prompt, as the tokenizer cuts both together. Prompts that end alike
 * are looked at once. Errors: `bad_request` for a label that changes the prompt's last token, or begins another one.
 */
export function labelTokens(tokenizer: Tokenizer): (prompt: Prompt, labels: readonly string[]) => number[][] {
  const known = new Map<string, number[][]>();
  return (prompt, labels) => {
    const end = endOf(tokenizer, prompt);
    const key = JSON.stringify([end.text, labels]);
    const tokens = known.get(key) ?? cut(end, labels);
    known.set(key, tokens);
    return tokens;
  };
}

interface End extends Prompt {
  encode: (text: string) => number[];
}

/** A prompt from its last control token on, if that is cut as it stands there; else all of it. */
function endOf(tokenizer: Tokenizer, { text, tokens }: Prompt): End {
  const encode = (part: string): number[] => tokenizer.encode(part, { addSpecial: false, parseSpecial: true });
  const start = tokens.findLastIndex((token) => tokenizer.isSpecial(token));
  if (start >= 0) {
    const end = tokens.slice(start);
    const own = tokenizer.tokenText(end[0] as number) + tokenizer.decode(end.slice(1));
    if (encode(own).join() === end.join()) return { text: own, tokens: end, encode };
  }
  return { text, tokens, encode: (part) => tokenizer.encode(part, { parseSpecial: true }) };
}

function cut({ text, tokens, encode }: End, labels: readonly string[]): number[][] {
  const refuse = (label: string, reason: string): never => {
    throw new ChunkwiseError('bad_request', { field: 'labels', reason: `${JSON.stringify(label)} ${reason}` });
  };
  const cut = labels.map((label) => {
    const both = encode(text + label);
    const own = both.slice(tokens.length);
    if (own.length === 0 || tokens.some((token, i) => token !== both[i]))
      return refuse(label, "is no token of its own behind this model's prompts");
    return own;
  });
  const whole = new Map(cut.map((own, i) => [own.join(), i]));
  cut.forEach((own, i) => {
    for (let length = 1; length <= own.length; length++) {
      const other = whole.get(own.slice(0, length).join());
      if (other !== undefined && other !== i) refuse(labels[other] as string, `begins ${JSON.stringify(labels[i])}`);
    }
  });
  return cut;
}
