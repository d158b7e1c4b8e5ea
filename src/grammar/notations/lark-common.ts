const INT = '[0-9]+';
const EXPONENT = `[eE][+-]?${INT}`;
const DECIMAL = `(?:${INT}\\.[0-9]*|\\.${INT})`;
const FLOAT = `(?:${DECIMAL}(?:${EXPONENT})?|${INT}${EXPONENT})`;
const NUMBER = `(?:${FLOAT}|${INT})`;

/**
 * Terminals of Lark's library `common`, as regular expressions in Rust's syntax. Comments end before the end of the
 * line.
 */
export const LARK_COMMON: ReadonlyMap<string, string> = new Map([
  ['common.DIGIT', '[0-9]'],
  ['common.HEXDIGIT', '[0-9a-fA-F]'],
  ['common.INT', INT],
  ['common.SIGNED_INT', `[+-]?${INT}`],
  ['common.DECIMAL', DECIMAL],
  ['common._EXP', EXPONENT],
  ['common.FLOAT', FLOAT],
  ['common.SIGNED_FLOAT', `[+-]?${FLOAT}`],
  ['common.NUMBER', NUMBER],
  ['common.SIGNED_NUMBER', `[+-]?${NUMBER}`],
  ['common.ESCAPED_STRING', '"(?:[^"\\\\]|\\\\.)*"'],
  ['common.LCASE_LETTER', '[a-z]'],
  ['common.UCASE_LETTER', '[A-Z]'],
  ['common.LETTER', '[a-zA-Z]'],
  ['common.WORD', '[a-zA-Z]+'],
  ['common.CNAME', '[_a-zA-Z][_a-zA-Z0-9]*'],
  ['common.WS_INLINE', '[ \\t]+'],
  ['common.WS', '[ \\t\\f\\r\\n]+'],
  ['common.CR', '\\r'],
  ['common.LF', '\\n'],
  ['common.NEWLINE', '(?:\\r?\\n)+'],
  ['common.SH_COMMENT', '#[^\\n]*'],
  ['common.CPP_COMMENT', '//[^\\n]*'],
  ['common.C_COMMENT', '/\\*[^*]*\\*+(?:[^/*][^*]*\\*+)*/'],
  ['common.SQL_COMMENT', '--[^\\n]*'],
]);
