import { Random } from '../support/random.ts';

const WRITTEN = [
  '',
  ' ',
  'a',
  'Hello, world!',
  "I'm sure they've said it's what we'd do; you'll see, I'LL, THEY'RE, don't.",
  'The year 2024 had 366 days, π ≈ 3.14159, ½ and ² and ① and Ⅷ and ٣٤٥ and १२३.',
  '1234567890 12 123 1234 12345 0x1F 1e-9 1,000,000.00',
  'def f(x):\n    return {"a": [x ** 2 for x in range(10)]}\n\n\nprint(f(3))\t# done\n',
  '#include <stdio.h>\r\nint main(void) {\r\n\tprintf("%d\\n", 42);\r\n}\r\n',
  'const f = <T,>(x: T): T => x ?? (() => { throw new Error(`${x}`); })();',
  'SELECT * FROM t WHERE a != b -- comment\n;',
  '<html><body class="x">&nbsp;</body></html>',
  'https://example.org/a/b?c=d&e=%20f#g user@example.org C:\\Windows\\',
  'Füße, naïve café, Ångström, Straße, œuvre, İstanbul, ĳ',
  'Cafe\u0301 n\u0303 a\u0308\u0323 e\u0301\u0301\u0301',
  'Привет, мир! Как дела? Ёлка.',
  'Γειά σου Κόσμε, ἄνθρωπος',
  'こんにちは世界。カタカナ、ひらがな、漢字！「引用」',
  '你好，世界！这是一个测试。',
  '안녕하세요 세계, 한국어',
  'مرحبا بالعالم، كيف حالك؟',
  'שָׁלוֹם עולם',
  'नमस्ते दुनिया, कैसे हो?',
  'สวัสดีชาวโลก',
  'Xin chào thế giới, tiếng Việt',
  'ሰላም ልዑል',
  '😀 😃😄 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ 1️⃣',
  '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𐍈 𠀀𠀁',
  'zero\u200bwidth\u200djoin\ufeffbom\u00adhyphen',
  'nbsp\u00a0here\u2003em\u3000ideographic\u0085nel\u2028line\u1680ogham',
  '\ufeffstarts with a BOM',
  'control\u0000\u0001\u001b[31m\u007f',
  '\ud800 lone and \udfff lone',
  '   three   spaces   everywhere   ',
  '\n\n\n',
  ' \n \n\n  \n',
  'a\n b\n  c\n   d\n\te\n\t\tf',
  'tab\ttab\t\ttab',
  'trailing spaces   \nnext',
  '\r\n\r\n \r \n',
  '!!!???...,,,;;;:::---___***',
  '——“quotes” ‘single’ «guillemets» …',
  '$100 €50 £20 ¥1000 ₹5 + - × ÷ = ≠ ≤ ∞ ∑',
  '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  '<|endoftext|><|endoftext|> text <|im_end|>',
  '<|im_start|<|im_start|>|> <|im_end <|im_end|',
  'x<jupyter_code>y<file_sep>z<reponame><repo_name>',
  '<s>[INST] hi [/INST] </s><unk><0x0A>',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  'lololololololololol hahahahahaha',
  'thethethethe ththe inging tthe',
  'antidisestablishmentarianism supercalifragilisticexpialidocious',
  'ALLCAPS CamelCase snake_case kebab-case mixedCASE XMLHttpRequest',
  '__proto__ constructor toString hasOwnProperty',
];

const PARTS = [
  ...'a|b|the|The|THE|ing|é|ß|İ|漢|字|か|ア|한|ع|ש|न|े|ก|😀|👩‍👧|0|1|23|456|٣|½|²'.split('|'),
  ...". , ! ? - _ / \\ ( \" ' 's 'T 'll ’ $ + < > #".split(' '),
  ...[' ', ' ', ' ', '  ', '   ', '\t', '\n', '\r\n', '\n\n', '\r', '\u00a0', '\u3000', '\u0085', '\u2028'],
  ...['\u0301', '\u200d', '<|im_end|>', '</s>'],
];

/** Random strings from pieces at which tokenizers differ, and from `more`. */
export function randomTexts(count: number, seed: number, maxParts = 24, more: readonly string[] = []): string[] {
  const random = new Random(seed);
  const parts = [...PARTS, ...more];
  return Array.from({ length: count }, () =>
    Array.from({ length: 1 + random.below(maxParts) }, () => parts[random.below(parts.length)]).join(''),
  );
}

/** About 200 texts: languages, code, numbers, white space, emoji, special tokens written out, and random ones. */
export const TEXTS: readonly string[] = [...WRITTEN, ...randomTexts(150, 1)];
