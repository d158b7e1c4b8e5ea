import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Text of an instruction, or the name of an argument that stands there. */
export type InstructionPart = { text: string } | { argument: string };

const MOST_PARTS = 256;

/**
 * Parses an instruction in the syntax of Python's `str.format`: `{name}` is replaced, `{{` and `}}` are braces. Conversions,
 * formats and lookups (`{a!r}`, `{a:>8}`, `{a.b}`, `{a[0]}`) are refused.
 */
export function parseInstruction(text: string, refuse: (reason: string) => never): InstructionPart[] {
  const parts: InstructionPart[] = [];
  let written = '';
  let last = 0;
  for (const match of text.matchAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g)) {
    written += text.slice(last, match.index);
    last = match.index + match[0].length;
    const name = match[1];
    if (match[0] === '{{' || match[0] === '}}') {
      written += match[0][0];
    } else if (name === undefined) {
      refuse(`has a brace at ${match.index} without its partner; a brace of the text is written twice`);
    } else {
      if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name))
        refuse(`has ${JSON.stringify(match[0].slice(0, 40))}; only {name} is allowed`);
      parts.push({ text: written }, { argument: name });
      written = '';
    }
    if (parts.length > MOST_PARTS) refuse(`has more than ${MOST_PARTS / 2} arguments`);
  }
  parts.push({ text: written + text.slice(last) });
  return parts.filter((part) => !('text' in part) || part.text !== '');
}

/** Names of the arguments that an instruction needs from its caller. */
export function argumentsOf(instruction: readonly InstructionPart[] = []): string[] {
  const names = instruction.flatMap((part) => ('argument' in part ? part.argument : []));
  return [...new Set(names)].filter((name) => name !== LAST_MESSAGE);
}

/** The argument that the conversation gives. */
const LAST_MESSAGE = 'last_message';
/** Most characters of an instruction with its arguments: one argument may stand there many times. */
const MOST_CHARACTERS = 2 ** 24;

/** The instruction with its arguments. Throws `bad_request` for a missing, an unknown or a huge argument. */
export function writeInstruction(
  instruction: readonly InstructionPart[],
  given: Readonly<Record<string, string>>,
  lastMessage: string | undefined,
): string {
  const refuse = (name: string, reason: string): never => {
    throw new ChunkwiseError('bad_request', { field: `arguments.${name}`, reason });
  };
  const known = argumentsOf(instruction);
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      refuse(name, `is not an argument of this function; it has ${known.join(', ') || 'none'}`);
  }
  let length = 0;
  return instruction
    .map((part) => {
      if ('text' in part) return part.text;
      const own = Object.hasOwn(given, part.argument) ? given[part.argument] : undefined;
      const text = part.argument === LAST_MESSAGE ? lastMessage : own;
      if (text === undefined) return refuse(part.argument, 'is missing');
      if ((length += text.length) > MOST_CHARACTERS) refuse(part.argument, 'makes the instruction too long');
      return text;
    })
    .join('');
}
