import type { Format } from './product.ts';

/** A grammar that needs many resources: its name, and a function that creates it when its turn comes. */
export interface HostileCase {
  name: string;
  make: () => Format;
}

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
const named = (count: number, value: (i: number) => unknown): Record<string, unknown> =>
  Object.fromEntries(range(count).map((i) => [`p${i}`, value(i)]));
/** `inner` within `count` nested applications of `outer`. */
const nested = (count: number, inner: unknown, outer: (inner: unknown) => unknown): unknown =>
  range(count).reduce<unknown>((value) => outer(value), inner);
const object = (properties: unknown, rest: object = {}): unknown => ({ type: 'object', properties, ...rest });
const closed = (properties: unknown, rest: object = {}): unknown =>
  object(properties, { additionalProperties: false, ...rest });
const S = { type: 'string' };
const N = { type: 'number' };
const I = { type: 'integer' };
/** Words that share few prefixes; the same in each run. */
const word = (i: number, length = 12): string =>
  range(length)
    .map((at) => 'abcdefghijklmnopqrstuvwxyz'[(Math.imul(i + 1, 2654435761 + 97 * at) >>> (at % 13)) % 26])
    .join('');

const PATTERNS: Record<string, string> = {
  'the issue: [a-z]? x 145': '[a-z]?'.repeat(145),
  'the issue: (a|b)? x 500': '(a|b)?'.repeat(500),
  'the issue: a? x 900 a x 900': 'a?'.repeat(900) + 'a'.repeat(900),
  'a? x 30 a x 30, anchored': `^${'a?'.repeat(30)}${'a'.repeat(30)}$`,
  '[a-z]? x 1,000, anchored': `^${'[a-z]?'.repeat(1000)}$`,
  'a count of 129': '^[a-z]{129}$',
  'a count up to 129': '^[a-z]{0,129}$',
  'counts of 200 and 300': '^([a-z]{200}|[0-9]{300})$',
  'a count of 4,096': '^a{4096}$',
  'a count of 65,536': '^[a-f]{65536}$',
  'a count of a million': '^x{1000000}$',
  'a count up to a thousand million': '^x{0,1000000000}$',
  'counts of counts': '^((a{1000}){1000}){1000}$',
  'counts of optional counts': '^((a{0,100}b?){0,100}c?){0,100}$',
  'two counts of one class': '^[a-z]{0,500}[a-z]{0,500}$',
  'five counts of one class': '^[a-z]{0,100}[a-z]{0,100}[a-z]{0,100}[a-z]{0,100}[a-z]{0,100}$',
  'counts that overlap': '^(a{3,5}|a{7,11}|a{13,17}){1,40}$',
  'the 20th letter from the end': '(a|b)*a(a|b){20}$',
  'the 100th letter from the end': '^(a|b)*a(a|b){100}$',
  'the 500th letter from the end': '^[ab]*a[ab]{500}$',
  'a letter somewhere, 60 back': '^.*x.{60}y.*$',
  '(a*)*': '^(a*)*$',
  '(a+)+b': '^(a+)+b$',
  '((a+)+)+': '^(((a+)+)+)+!$',
  '(a|a)*': '^(a|a)*b$',
  '(a|aa)+': '^(a|aa)+$',
  '(.*)* x 12': `^${'(.*)*'.repeat(12)}$`,
  '.* x 100': `^${'.*'.repeat(100)}$`,
  '.*a x 50': `^${'.*a'.repeat(50)}$`,
  '.*[a-z] x 200': `^${'.*[a-z]'.repeat(200)}$`,
  'words in any places': `^.*${range(20)
    .map((i) => word(i, 6))
    .join('.*')}.*$`,
  'any of 500 words somewhere': `(${range(500)
    .map((i) => word(i))
    .join('|')})`,
  'any of 2,000 words': `^(${range(2000)
    .map((i) => word(i))
    .join('|')})$`,
  'words that end alike': `^(${range(500)
    .map((i) => `${word(i, 6)}ending`)
    .join('|')})$`,
  'any of 300 words, many times': `^((${range(300)
    .map((i) => word(i, 8))
    .join('|')})[,;]?)*$`,
  'prefixes of a word': `^(${range(400)
    .map((i) => 'abcdefgh'.repeat(50).slice(0, i + 1))
    .join('|')})$`,
  '3,000 groups': `${'('.repeat(3000)}a${')'.repeat(3000)}`,
  '100,000 groups': `${'('.repeat(100_000)}a${')'.repeat(100_000)}`,
  'groups with stars': `^${'('.repeat(300)}a${')*'.repeat(300)}$`,
  'groups with question marks': `^${'('.repeat(300)}a${'b)?'.repeat(300)}$`,
  '20,000 classes': '[a-z]'.repeat(20_000),
  'a pattern of 300,000 letters': 'a'.repeat(300_000),
  'a pattern of 3 million letters': `^${'ab'.repeat(1_500_000)}$`,
  'a class of 5,000 ranges': `^[${range(5000)
    .map((i) => String.fromCodePoint(0x4e00 + 3 * i))
    .join('')}]+$`,
  'all letters': '^\\p{L}+$',
  'all letters, 200 times': `^${'\\p{L}'.repeat(200)}$`,
  'all that are no letters': '^\\P{L}{0,200}$',
  'letters and numbers of all scripts, then ends': '^[\\p{L}\\p{N}_]+([.-][\\p{L}\\p{N}_]+)*$',
  'scripts in turn': '^(\\p{Script=Greek}\\p{Script=Han}\\p{Script=Cyrillic}){1,100}$',
  'beyond the first plane': '^[\\u{10000}-\\u{10FFFF}]{1,300}$',
  'half of all characters': `^[${range(800)
    .map((i) => `\\u{${(0x100 + 40 * i).toString(16)}}-\\u{${(0x100 + 40 * i + 19).toString(16)}}`)
    .join('')}]+$`,
  'not these, of all': '^[^\\u4e00-\\u9fff\\u{1f300}-\\u{1faff}]{0,1000}$',
  'lookaheads, eight': '^(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])(?=.*[!@#])(?=.*x)(?=.*y)(?=.*z)(?=.*q).{8,64}$',
  'lookaheads, twenty': `^${range(20)
    .map((i) => `(?=.*${String.fromCharCode(97 + i)})`)
    .join('')}.{0,100}$`,
  'negative lookaheads, twenty': `^${range(20)
    .map((i) => `(?!.*${word(i, 4)})`)
    .join('')}.*$`,
  'lookaheads in a loop': '^((?=[a-z]{3})[a-z0-9])*$',
  'lookaheads within lookaheads': `^${'(?=.*(?!'.repeat(12)}a${'))'.repeat(12)}.*$`,
  lookbehinds: '^.*(?<=abc)def(?<!xyz).*$',
  'a backreference': '^(a+)b\\1$',
  'boundaries of words': '\\bfoo\\b.*\\bbar\\b',
  'an email, as the web has it':
    "^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
  'a host of 253': '^(?=.{1,253}$)(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]{0,61}[a-zA-Z0-9])\\.)*[a-zA-Z]{2,63}$',
  IPv6: '^(([0-9a-fA-F]{1,4}:){7,7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|::(ffff(:0{1,4}){0,1}:){0,1}((25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9])\\.){3,3}(25[0-5]|(2[0-4]|1{0,1}[0-9]){0,1}[0-9]))$',
  'multiples of 7 in binary': '^(0|1(0(01*00)*1|0(01*00)*01*01)*1)+$',
  'an exponential automaton of alternatives': `^(${range(12)
    .map((i) => `(.{${i + 2}}x)*`)
    .join('|')})$`,
  'lengths of primes': `^((aa)*|(aaa)*|(a{5})*|(a{7})*|(a{11})*|(a{13})*|(a{17})*)$`,
  'not the lengths of primes': `^(?!((aa)*|(aaa)*|(a{5})*|(a{7})*|(a{11})*|(a{13})*|(a{17})*|(a{19})*)$)a*$`,
  'nothing can match': '^a(?!.*)b$',
  'end before beginning': 'a$^b',
  'empty alternatives': `^(${'|'.repeat(5000)}a)$`,
  'alternatives of one letter': `^(${range(5000)
    .map(() => 'a')
    .join('|')})*$`,
};

const SCHEMAS: Record<string, () => unknown> = {
  // Numbers.
  'the issue: 100 decimal bounds': () =>
    closed(named(100, (i) => ({ ...N, minimum: -i - 0.123456789, maximum: 1000.987654321 * (i + 1) }))),
  '1,000 integer bounds': () => closed(named(1000, (i) => ({ ...I, minimum: -i * 7919, maximum: i * 104_729 + 17 }))),
  'bounds of 300 digits': () => ({ ...N, minimum: -1.7976931348623157e308, maximum: 1.7976931348623157e308 }),
  'bounds of the least digits': () => ({ ...N, exclusiveMinimum: 5e-324, maximum: 2.2250738585072014e-308 }),
  'bounds that are next to each other': () => ({ ...N, minimum: 0.1, maximum: 0.10000000000000002 }),
  'an integer between 0 and 1e300': () => ({ ...I, minimum: 0, maximum: 1e300 }),
  'bounds that nothing meets': () => ({ ...N, minimum: 2, maximum: 1 }),
  'an integer between 0.1 and 0.9': () => ({ ...I, minimum: 0.1, maximum: 0.9 }),
  'a huge multipleOf': () => ({ ...I, multipleOf: 9_007_199_254_740_991 }),
  'a multipleOf of 1e300': () => ({ ...N, multipleOf: 1e300 }),
  'a multipleOf of 1e-300': () => ({ ...N, multipleOf: 1e-300 }),
  'a multipleOf of 99,991': () => ({ ...I, multipleOf: 99_991 }),
  'a multipleOf of 1,000,003 with bounds': () => ({ ...I, multipleOf: 1_000_003, minimum: -1e12, maximum: 1e12 }),
  'a multipleOf of 0.0123': () => ({ ...N, multipleOf: 0.0123, minimum: 0, maximum: 1e6 }),
  'multipleOf of allOf': () => ({
    type: 'integer',
    allOf: [2, 3, 5, 7, 11, 13, 17, 19, 23].map((multipleOf) => ({ multipleOf })),
  }),
  'a negative multipleOf': () => ({ ...I, multipleOf: -3 }),
  'a bound that is no number': () => ({ ...N, minimum: '1e999' }),
  // Strings.
  'a string of 1e9 characters': () => ({ ...S, minLength: 1e9 }),
  'a string of up to 1e9 characters': () => ({ ...S, maxLength: 1e9 }),
  'a string of 1e308 characters': () => ({ ...S, minLength: 1e308 }),
  'a string of 1,000 to 100,000 characters': () => ({ ...S, minLength: 1000, maxLength: 100_000 }),
  'a string of 100,000 characters exactly': () => ({ ...S, minLength: 100_000, maxLength: 100_000 }),
  'a string of -1 characters': () => ({ ...S, minLength: -1, maxLength: -5 }),
  '100 strings of other lengths': () => closed(named(100, (i) => ({ ...S, minLength: i, maxLength: 100 + i * 37 }))),
  'the issue: counts above 128': () => closed(named(40, (i) => ({ ...S, pattern: `^[a-z]{${129 + i}}$` }))),
  '100 patterns with counts': () => closed(named(100, (i) => ({ ...S, pattern: `[a-z]{0,${100 + i}}` }))),
  '200 patterns of all letters': () => closed(named(200, (i) => ({ ...S, pattern: `^\\p{L}{${i},}$` }))),
  'a pattern and lengths': () => ({ ...S, pattern: '^(ab|cde|f)*$', minLength: 500, maxLength: 700 }),
  'a pattern, a format and lengths': () => ({
    ...S,
    pattern: '@example',
    format: 'email',
    minLength: 20,
    maxLength: 254,
  }),
  'patterns of allOf': () => ({ ...S, allOf: range(12).map((i) => ({ pattern: String.fromCharCode(97 + i) })) }),
  'patterns of allOf, 60': () => ({ ...S, allOf: range(60).map((i) => ({ pattern: word(i, 3) })) }),
  'patterns of allOf that count': () => ({
    ...S,
    allOf: range(6).map((i) => ({ pattern: `^(.{${[2, 3, 5, 7, 11, 13][i]!}})*$` })),
  }),
  'patterns of not': () => ({ ...S, not: { pattern: '(a|b)*a(a|b){15}' } }),
  'all formats': () =>
    closed(
      Object.fromEntries(
        'date-time date time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference iri iri-reference uri-template uuid json-pointer relative-json-pointer regex unknown'
          .split(' ')
          .map((format) => [format, { ...S, format }]),
      ),
    ),
  '300 uris': () => closed(named(300, () => ({ ...S, format: 'uri' }))),
  'a string among keys of not': () => ({ ...S, not: { enum: range(1000).map((i) => word(i)) } }),
  // Enums and constants.
  'an enum of 10,000 words': () => ({ enum: range(10_000).map((i) => word(i)) }),
  'an enum of 100,000 words': () => ({ enum: range(100_000).map((i) => `${word(i)}${i}`) }),
  'an enum of 20,000 numbers': () => ({ enum: range(20_000).map((i) => i * 7919) }),
  'an enum of 2,000 objects': () => ({ enum: range(2000).map((i) => ({ name: word(i), value: [i, { deep: i }] })) }),
  'an enum of prefixes': () => ({ enum: range(1500).map((i) => 'x'.repeat(i)) }),
  'an enum of one long prefix': () => ({ enum: range(1000).map((i) => `${'the same '.repeat(100)}${i}`) }),
  'an enum beside a pattern': () => ({ enum: range(5000).map((i) => word(i)), pattern: 'a.*b.*c' }),
  'enums in 500 properties': () => closed(named(500, (i) => ({ enum: range(100).map((k) => word(100 * i + k, 8)) }))),
  'an empty enum': () => ({ enum: [] }),
  'an enum of strange texts': () => ({ enum: ['\u0000', '"', '\\', '\ud800', '😀', '\u2028', '</script>', ''] }),
  'a long constant': () => ({ const: 'x'.repeat(3_000_000) }),
  'a constant of 50,000 numbers': () => ({ const: range(50_000) }),
  'a constant 5,000 deep': () => ({ const: nested(5000, 0, (inner) => [inner]) }),
  'a constant without an end': () => ({ const: nested(100_000, 0, (inner) => [inner]) }),
  'a constant of objects 2,000 deep': () => ({ const: nested(2000, null, (a) => ({ a })) }),
  // Objects.
  'the issue: 1,300 optional properties': () => closed(named(1300, () => S)),
  '1,300 optional properties, open': () => object(named(1300, () => S)),
  '10,000 optional properties': () => closed(named(10_000, () => S)),
  '10,000 required ones': () =>
    object(
      named(10_000, () => true),
      { required: range(10_000).map((i) => `p${i}`) },
    ),
  '100,000 properties': () => closed(named(100_000, () => S)),
  '5,000 names that others must not have': () =>
    object(
      named(5000, () => true),
      { additionalProperties: true },
    ),
  'a long name': () => object({ ['n'.repeat(20_000)]: true }, { additionalProperties: true }),
  'a name of a million letters': () => closed({ ['n'.repeat(1_000_000)]: true }),
  'names that are prefixes': () => object(Object.fromEntries(range(800).map((i) => ['n'.repeat(i + 1), S]))),
  'required names without properties, 3,000': () => ({ type: 'object', required: range(3000).map((i) => word(i)) }),
  'at least 10 of 40 properties': () =>
    closed(
      named(40, () => I),
      { minProperties: 10 },
    ),
  'exactly 20 of 40 properties': () =>
    closed(
      named(40, () => I),
      { minProperties: 20, maxProperties: 20 },
    ),
  'at least 300 of 1,000 properties': () =>
    closed(
      named(1000, () => I),
      { minProperties: 300 },
    ),
  'at least 1e9 properties': () => ({ type: 'object', minProperties: 1e9 }),
  'at most 1e6 properties': () => ({ type: 'object', maxProperties: 1e6, additionalProperties: I }),
  '200 patternProperties': () => ({
    type: 'object',
    patternProperties: Object.fromEntries(range(200).map((i) => [`^${word(i, 3)}_[a-z]*$`, I])),
    additionalProperties: false,
  }),
  'patternProperties that overlap': () => ({
    type: 'object',
    patternProperties: Object.fromEntries(range(16).map((i) => [String.fromCharCode(97 + i), { ...I, minimum: i }])),
  }),
  'patternProperties that all overlap': () => ({
    type: 'object',
    patternProperties: Object.fromEntries(range(40).map((i) => [`.{${i}}`, { maximum: 1000 - i }])),
    additionalProperties: false,
  }),
  'propertyNames with a pattern that counts': () => ({
    type: 'object',
    propertyNames: { pattern: '^(a|b)*a(a|b){12}$' },
    additionalProperties: I,
  }),
  'propertyNames of 5,000 words': () => ({ type: 'object', propertyNames: { enum: range(5000).map((i) => word(i)) } }),
  '30 dependentRequired': () =>
    closed(
      named(30, () => I),
      { dependentRequired: Object.fromEntries(range(29).map((i) => [`p${i}`, [`p${i + 1}`]])) },
    ),
  '30 dependentRequired in a ring': () =>
    closed(
      named(30, () => I),
      {
        dependentRequired: Object.fromEntries(
          range(30).map((i) => [`p${i}`, [`p${(i * 7 + 1) % 30}`, `p${(i * 11 + 3) % 30}`]]),
        ),
      },
    ),
  '20 dependentSchemas': () =>
    closed(
      named(20, () => I),
      {
        dependentSchemas: Object.fromEntries(
          range(20).map((i) => [`p${i}`, { properties: { [`p${(i + 1) % 20}`]: { minimum: i } } }]),
        ),
      },
    ),
  'ifs in a row': () =>
    closed(
      named(20, () => ({ type: 'boolean' })),
      {
        allOf: range(19).map((i) => ({
          if: { properties: { [`p${i}`]: { const: true } }, required: [`p${i}`] },
          then: { required: [`p${i + 1}`] },
        })),
      },
    ),
  'ifs within ifs': () =>
    nested(40, { type: 'string' }, (inner) => ({ if: { type: 'integer' }, then: { minimum: 1 }, else: inner })),
  'unevaluatedProperties with anyOf': () => ({
    type: 'object',
    anyOf: range(12).map((i) => ({ properties: { [`p${i}`]: I }, required: [`p${i}`] })),
    unevaluatedProperties: false,
  }),
  // Arrays.
  'an array of 1e9 items': () => ({ type: 'array', minItems: 1e9 }),
  'an array of up to 1e9 items': () => ({ type: 'array', maxItems: 1e9, items: I }),
  'an array of 5,000 to 10,000 items': () => ({ type: 'array', minItems: 5000, maxItems: 10_000, items: I }),
  'arrays of arrays, counted': () => nested(8, I, (items) => ({ type: 'array', items, minItems: 100, maxItems: 1000 })),
  '5,000 prefixItems': () => ({ type: 'array', prefixItems: range(5000).map(() => I), items: false }),
  'prefixItems and contains': () => ({
    type: 'array',
    prefixItems: range(20).map(() => ({ enum: [1, 2, 3] })),
    contains: { const: 2 },
    minContains: 5,
    maxContains: 10,
  }),
  'contains at least 1,000': () => ({ type: 'array', items: I, contains: { const: 7 }, minContains: 1000 }),
  'uniqueItems of an enum': () => ({ type: 'array', items: { enum: range(12) }, uniqueItems: true }),
  'uniqueItems of 12 of 30': () => ({ type: 'array', items: { enum: range(30) }, uniqueItems: true, minItems: 12 }),
  // Depth and references.
  'arrays 100 deep': () => nested(100, S, (items) => ({ type: 'array', items })),
  'arrays 5,000 deep': () => nested(5000, S, (items) => ({ type: 'array', items })),
  'objects 2,000 deep': () => nested(2000, S, (a) => closed({ a }, { required: ['a'] })),
  'objects 50,000 deep': () => nested(50_000, S, (a) => closed({ a }, { required: ['a'] })),
  'anyOf 3,000 deep': () => nested(3000, S, (inner) => ({ anyOf: [inner, I] })),
  'allOf 3,000 deep': () => nested(3000, S, (inner) => ({ allOf: [inner] })),
  'not 1,001 deep': () => nested(1001, S, (not) => ({ not })),
  'a reference to itself': () => ({ $ref: '#' }),
  'a ring of references': () => ({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }),
  'a ring of anyOf': () => ({
    $ref: '#/$defs/a',
    $defs: {
      a: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/b' }] },
      b: { anyOf: [{ type: 'boolean' }, { $ref: '#/$defs/a' }] },
    },
  }),
  'a ring of allOf': () => ({
    $ref: '#/$defs/a',
    $defs: {
      a: { allOf: [{ type: 'object' }, { $ref: '#/$defs/b' }] },
      b: { allOf: [{ maxProperties: 3 }, { $ref: '#/$defs/a' }] },
    },
  }),
  'allOf of what grows': () => ({
    $ref: '#/$defs/a',
    $defs: {
      a: { type: 'object', properties: { x: { allOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/b' }] } } },
      b: { type: 'object', properties: { x: { $ref: '#/$defs/c' } } },
      c: { type: 'object', properties: { x: { $ref: '#/$defs/b' }, y: I } },
    },
  }),
  'allOf of rings of other lengths': () => ({
    allOf: [7, 11, 13].map((length) => ({ $ref: `#/$defs/r${length}x0` })),
    $defs: Object.fromEntries(
      [7, 11, 13].flatMap((length) =>
        range(length).map((i) => [
          `r${length}x${i}`,
          {
            type: 'object',
            properties: { next: { $ref: `#/$defs/r${length}x${(i + 1) % length}` }, [`at${length}`]: { const: i } },
          },
        ]),
      ),
    ),
  }),
  'a chain of 20,000 definitions': () => ({
    $ref: '#/$defs/p0',
    $defs: named(20_000, (i) => ({ anyOf: [{ type: 'null' }, { $ref: `#/$defs/p${Math.min(i + 1, 19_999)}` }] })),
  }),
  'a chain of 20,000 plain references': () => ({
    $ref: '#/$defs/p0',
    $defs: { ...named(20_000, (i) => ({ $ref: `#/$defs/p${i + 1}` })), p20000: S },
  }),
  'definitions that double, 60': () => ({
    $ref: '#/$defs/p0',
    $defs: {
      ...named(60, (i) => ({
        anyOf: [
          { $ref: `#/$defs/p${i + 1}` },
          { type: 'array', prefixItems: [{ $ref: `#/$defs/p${i + 1}` }], items: false },
        ],
      })),
      p60: { enum: ['x', 'y'] },
    },
  }),
  'allOf that doubles, 40': () => ({
    $ref: '#/$defs/p0',
    $defs: {
      ...named(40, (i) => ({ allOf: [{ $ref: `#/$defs/p${i + 1}` }, { $ref: `#/$defs/p${i + 1}` }] })),
      p40: { type: 'object' },
    },
  }),
  'trees of all values': () => ({
    $ref: '#/$defs/t',
    $defs: {
      t: {
        anyOf: [
          S,
          N,
          { type: 'null' },
          { type: 'boolean' },
          { type: 'array', items: { $ref: '#/$defs/t' } },
          { type: 'object', additionalProperties: { $ref: '#/$defs/t' } },
        ],
      },
    },
  }),
  '200 definitions that all name each other': () => ({
    $ref: '#/$defs/p0',
    $defs: named(200, (i) =>
      closed(Object.fromEntries(range(20).map((k) => [`q${k}`, { $ref: `#/$defs/p${(i * 20 + k * 7) % 200}` }]))),
    ),
  }),
  'a pointer of a million letters': () => ({ $ref: `#/${'a'.repeat(1_000_000)}` }),
  'a pointer with many steps': () => ({ $ref: `#${'/a'.repeat(100_000)}` }),
  // Combinations.
  '50,000 schemas of anyOf': () => ({ anyOf: range(50_000).map(() => ({ type: 'null' })) }),
  '500 objects of anyOf that begin alike': () => ({
    anyOf: range(500).map((i) => closed({ kind: S, [`p${i}`]: I }, { required: ['kind', `p${i}`] })),
  }),
  '300 open objects of anyOf': () => ({ anyOf: range(300).map((i) => object({ a: { ...I, minimum: i }, b: S })) }),
  '100 strings of anyOf': () => ({ anyOf: range(100).map((i) => ({ ...S, pattern: `^.*${word(i, 3)}.*$` })) }),
  'allOf x anyOf, 2 to the 20': () => ({
    type: 'object',
    allOf: range(20).map((i) => ({ anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }] })),
  }),
  'allOf x anyOf of types': () => ({
    allOf: range(30).map(() => ({ anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'array' }] })),
  }),
  'allOf x oneOf of constants': () => ({
    allOf: range(15).map((i) => ({ oneOf: range(6).map((k) => ({ const: (i * k) % 7 })) })),
  }),
  '1,000 of oneOf, told apart by a constant': () => ({
    oneOf: range(1000).map((i) => closed({ type: { const: word(i) }, value: I }, { required: ['type'] })),
  }),
  '200 of oneOf that cannot be told apart': () => ({
    oneOf: range(200).map((i) => object({ a: { ...I, maximum: i } })),
  }),
  '60 of oneOf of strings': () => ({
    oneOf: range(60).map((i) => ({ ...S, pattern: `^${word(i, 4)}.*${word(i + 1, 2)}$` })),
  }),
  'oneOf of numbers that overlap': () => ({ oneOf: range(50).map((i) => ({ ...N, minimum: i, maximum: i + 1.5 })) }),
  '500 schemas of allOf': () => ({
    type: 'object',
    allOf: range(500).map((i) => ({ properties: { [`p${i}`]: { type: 'integer' } } })),
  }),
  'allOf of 30 objects with all properties': () => ({
    allOf: range(30).map((i) => object(named(100, () => ({ minimum: -i, maximum: 1000 - i })))),
  }),
  'not of anyOf of 1,000 constants': () => ({ not: { anyOf: range(1000).map((i) => ({ const: word(i) })) } }),
  'not of an object': () => ({ type: 'object', not: { required: ['a'], properties: { a: { const: 1 } } } }),
  'types by the list': () => ({
    type: ['string', 'number', 'integer', 'boolean', 'null', 'array', 'object'],
    minLength: 5,
    minimum: 3,
    minItems: 2,
    minProperties: 1,
  }),
  'any value': () => true,
  'no value': () => false,
  'no schema': () => 'string',
  'a large real one: 300 properties of 50 definitions': () => ({
    ...(closed(named(50, (i) => ({ $ref: `#/$defs/p${i}` }))) as object),
    $defs: named(50, (i) =>
      closed(
        named(6, (p) =>
          p === 5 && i < 49
            ? { $ref: `#/$defs/p${i + 1}` }
            : [
                { ...S, maxLength: 20 },
                { ...I, minimum: 0, maximum: 1000 + i },
                { ...S, format: 'date-time' },
                { ...S, format: 'email' },
                { enum: range(6).map((value) => `value ${i} ${value}`) },
              ][(i + p) % 5],
        ),
        { required: ['p0'] },
      ),
    ),
  }),
};

const lines = (...rules: (string | string[])[]): string => rules.flat().join('\n');

/** Grammars for both notations: `=` stands for `::=` or `:`, and `root` for the start rule. */
const GRAMMARS: Record<string, () => string> = {
  'the issue: 60 nested rules': () =>
    lines(
      'root = r0',
      range(60).map((i) => `r${i} = r${i + 1} | "(" r${i + 1} ")"`),
      'r60 = "x"',
    ),
  '60 nested rules, each twice': () =>
    lines(
      'root = r0',
      range(60).map((i) => `r${i} = r${i + 1} r${i + 1} |  "a"`),
      'r60 = "x"',
    ),
  '60 nested rules that may be empty': () =>
    lines(
      'root = r0',
      range(60).map((i) => `r${i} = r${i + 1}? r${i + 1}?`),
      'r60 = "x"',
    ),
  'S -> S S | a': () => lines('root = root root | "a"'),
  'S -> S S S | S S | a | nothing': () => lines('root = root root root | root root | "a" | ""'),
  'S -> S S of 26 letters': () => lines('root = root root | [a-z]'),
  'S -> S "+" S, of all operations': () =>
    lines('root = root "+" root | root "*" root | root "-" root | "(" root ")" | [0-9]+'),
  'S -> a S a | b S b | nothing': () => lines('root = "a" root "a" | "b" root "b" | ""'),
  'palindromes of words': () => lines('root = w root w | w | ""', 'w = [a-z]'),
  'S -> S a | a': () => lines('root = root "a" | "a"'),
  'S -> a S | a': () => lines('root = "a" root | "a"'),
  'S -> [a-z] S | nothing': () => lines('root = [a-z] root | ""'),
  'S -> S | a': () => lines('root = root | "a"'),
  'S -> S': () => lines('root = root'),
  'rules in a ring without text': () => lines('root = a', 'a = b', 'b = c', 'c = a | "x"'),
  'rules that are empty in many ways': () =>
    lines('root = a a a a a a a a "x"', 'a = b b b b', 'b = c c c c | ""', 'c = ""'),
  'left recursion by way of others': () => lines('root = a "x" | "y"', 'a = b "z" | root', 'b = root "w" | "v"'),
  'left recursion hidden by nothing': () => lines('root = e root "a" | "b"', 'e = "" | "c"'),
  'right recursion hidden by nothing': () => lines('root = "a" root e | "b"', 'e = "" | "c"'),
  '5,000 rules in a ring': () =>
    lines(
      'root = r0',
      range(5000).map((i) => `r${i} = "a" r${(i + 1) % 5000}`),
    ),
  '5,000 rules in a ring with ends': () =>
    lines(
      'root = r0',
      range(5000).map((i) => `r${i} = "a" r${(i + 1) % 5000} | "b"`),
    ),
  '50,000 rules': () =>
    lines(
      'root = r0',
      range(50_000).map((i) => `r${i} = "a" r${(i + 1) % 50_000} | "b"`),
    ),
  '2,000 rules in a chain without text': () =>
    lines(
      'root = r0',
      range(2000).map((i) => `r${i} = r${i + 1}`),
      'r2000 = "x"',
    ),
  '2,000 rules of a chain, each an alternative': () =>
    lines(
      'root = r0',
      range(2000).map((i) => `r${i} = "${word(i, 3)}" | r${i + 1}`),
      'r2000 = "x"',
    ),
  'alternatives beside a rule, 1,000': () =>
    lines(
      `root = (${range(1000)
        .map((i) => `"${word(i)}"`)
        .join(' | ')} | r) "."`,
      'r = [a-z]+',
    ),
  '20,000 alternatives': () =>
    lines(
      `root = ${range(20_000)
        .map((i) => `"${word(i)}${i}"`)
        .join(' | ')}`,
    ),
  'a rule that 500 begin with': () =>
    lines(
      `root = ${range(500)
        .map((i) => `(r "${word(i)}")`)
        .join(' | ')}`,
      'r = [a-z]+',
    ),
  'a rule that 500 begin with, as text': () =>
    lines(
      `root = ${range(500)
        .map((i) => `(r "${word(i)}")`)
        .join(' | ')}`,
      'r = "(" r ")" | "x"',
    ),
  'repetitions of repetitions': () => lines('root = (("a"{1000}){1000}){1000}'),
  'repetitions by names': () => lines('root = a{1000} b{1000}', 'a = [a-z]{500}', 'b = "(#{" a{500}'),
  'a million of one': () => lines('root = "a"{1000000}'),
  'up to a million of a rule': () => lines('root = r{0,1000000}', 'r = "(" [a-z] ")"'),
  'up to 5,000 of a rule that may be empty': () => lines('root = r{0,5000} "."', 'r = "(" [a-z] ")" | ""'),
  'stars of stars': () => lines('root = ((("a"*)*)*)* "b"'),
  'stars of rules that may be empty': () => lines('root = r*', 'r = s*', 's = t*', 't = "x"*'),
  '2,000 optional parts': () =>
    lines(
      `root = ${range(2000)
        .map((i) => `"${word(i, 4)}"?`)
        .join(' ')}`,
    ),
  '1,000 optional letters of one kind': () => lines(`root = ${'[a-z]? '.repeat(1000)}`),
  '500 optional rules of one kind': () => lines(`root = ${'r? '.repeat(500)}`, 'r = "(" r ")" | "x"'),
  '900 optional ones and 900': () => lines(`root = ${'"a"? '.repeat(900)}${'"a" '.repeat(900)}`),
  'many kinds of characters': () => lines(`root = ${'[^\\n] '.repeat(5000)}`),
  '5,000 groups': () => lines(`root = ${'('.repeat(5000)}"a"${')'.repeat(5000)}`),
  '200,000 groups': () => lines(`root = ${'('.repeat(200_000)}"a"${')'.repeat(200_000)}`),
  'groups that are not closed': () => lines(`root = ${'('.repeat(100_000)}`),
  'a text of a million letters': () => lines(`root = "${'ab'.repeat(500_000)}"`),
  'a text that has no end': () => lines(`root = "${'a'.repeat(100_000)}`),
  'a name of a million letters': () => lines(`root = ${'n'.repeat(1_000_000)}`),
  'a million spaces': () => lines(`root = ${' '.repeat(1_000_000)}"a"`),
  'a million lines': () =>
    lines(
      `root = "a"`,
      range(1_000_000).map(() => ''),
    ),
  'wide classes': () => lines('root = ([^a-z] [^0-9] [^\\u4e00-\\u9fff])*'),
  'a long class': () =>
    lines(
      `root = [${range(5000)
        .map((i) => String.fromCodePoint(0x4e00 + 2 * i))
        .join('')}]+`,
    ),
  'the same text in 300 ways': () =>
    lines(
      `root = (${range(300)
        .map((i) => `r${i}`)
        .join(' | ')})+ "."`,
      range(300).map((i) => `r${i} = "a" "b"* "c"?`),
    ),
  'lists of lists, ambiguous': () =>
    lines('root = item+', 'item = word+ | "(" root ")"', 'word = [a-z]+ | word " " word'),
  'comments and code': () =>
    lines(
      'root = (line "\\n")*',
      'line = code | "#" [^\\n]*',
      'code = (name | number | op | " ")*',
      'name = [a-z]+',
      'number = [0-9]+',
      'op = [-+*/=<>]+',
    ),
  arithmetic: () =>
    lines(
      'root = sum',
      'sum = product (("+" | "-") product)*',
      'product = power (("*" | "/") power)*',
      'power = atom ("^" power)?',
      'atom = [0-9]+ ("." [0-9]+)? | "(" sum ")" | [a-z]+',
    ),
  'dangling else': () => lines('root = s', 's = "if x then " s | "if x then " s " else " s | "y;"'),
  'a b c in order, by two rules': () =>
    lines('root = ab c | a bc', 'ab = "a" ab "b" | ""', 'c = "c" c | ""', 'a = "a" a | ""', 'bc = "b" bc "c" | ""'),
  'all words twice': () => lines('root = w " " w', 'w = [a-z] w | [a-z]'),
  'a rule that is not there': () => lines('root = nowhere'),
  'a rule that never ends': () => lines('root = "a" root'),
  'two rules that never end': () => lines('root = "a" b', 'b = "b" root'),
};

const asEbnf = (text: string): string => text.replace(/^(\w+) = /gm, '$1 ::= ');
/** Lark has character classes only in regular expressions, and its start rule is `start`. */
const asLark = (text: string): string =>
  text
    .replace(/^(\w+) = /gm, '$1: ')
    .replace(/\broot\b/g, 'start')
    .replace(/\[(?:\\.|[^\]\\])*\][+*]?/g, (part) => `/${part.replace(/\//g, '\\/')}/`);

const LARK: Record<string, () => string> = {
  'terminals that count': () => 'start: A B\nA: /[a-z]{0,1000}/\nB: /[a-z]{0,1000}x/',
  'not of a terminal': () => 'start: A\nA: /(.|\\n)*/ & ~/(.|\\n)*(a|b)*a(a|b){14}(.|\\n)*/',
  'and of ten terminals': () =>
    `start: A\nA: ${range(10)
      .map((i) => `/.*${word(i, 2)}.*/`)
      .join(' & ')}`,
  'and of thirty terminals': () =>
    `start: A\nA: ${range(30)
      .map((i) => `/.*${word(i, 2)}.*/`)
      .join(' & ')}`,
  'not of not of not': () => `start: A\nA: ${'~('.repeat(200)}/a*/${')'.repeat(200)}`,
  'terminals within terminals, 100': () =>
    lines(
      'start: T0',
      range(100).map((i) => `T${i}: "a" T${i + 1} | "b" T${i + 1}`),
      'T100: "x"',
    ),
  'terminals that double, 60': () =>
    lines(
      'start: T0',
      range(60).map((i) => `T${i}: T${i + 1} T${i + 1}`),
      'T60: "x"',
    ),
  'terminals in a ring': () => 'start: A\nA: "a" B\nB: "b" A | "c"',
  'templates without an end': () => 'start: list{a, b}\nlist{x, y}: x | y list{y, x}\na: "a"\nb: "b"',
  '1,000 ignored ones': () =>
    lines(
      'start: "a" "b" "c"',
      range(1000).map((i) => `%ignore /${word(i, 3)}/`),
    ),
  'what is ignored is everything': () => 'start: "a" "b"\n%ignore /(.|\\n)*/',
  'free text until one of 200 words': () =>
    `start: TEXT (${range(200)
      .map((i) => `"<${word(i, 5)}>" TEXT`)
      .join(' | ')})*\nTEXT: /[^<]*/`,
  'free text, lazy': () =>
    'start: (f)* end\nend: TEXT\nTEXT: /(.|\\n)*/\nhd[lazy]: TEXT "<function"\nf: hd "=foo>" %json { "type": "object" } "</function>"',
  'two hundred schemas': () =>
    `start: ${range(200)
      .map((i) => `s${i}`)
      .join(
        ' | ',
      )}\n${lines(range(200).map((i) => `s${i}: "<${i}>" %json ${JSON.stringify(object(named(10, () => S)))}`))}`,
  'a schema that is no JSON': () => 'start: %json { "type": ',
  'a pattern that has no end': () => `start: /${'a'.repeat(10_000)}`,
  'a pattern in Unicode, ignoring case': () => 'start: /(?i:\\p{Lu}[k-sß-öΑ-Ω]){1,200}/',
  'flags in flags': () => `start: /${'(?i:'.repeat(500)}a${')'.repeat(500)}/`,
};

/** All cases. */
export const HOSTILE_CASES: readonly HostileCase[] = [
  ...Object.entries(PATTERNS).map(([name, pattern]) => ({
    name: `pattern: ${name}`,
    make: (): Format => ({ schema: { type: 'string', pattern } }),
  })),
  ...Object.entries(SCHEMAS).map(([name, schema]) => ({
    name: `schema: ${name}`,
    make: (): Format => ({ schema: schema() }),
  })),
  ...Object.entries(GRAMMARS).flatMap(([name, grammar]) => [
    { name: `EBNF: ${name}`, make: (): Format => ({ ebnf: asEbnf(grammar()) }) },
    { name: `Lark: ${name}`, make: (): Format => ({ lark: asLark(grammar()) }) },
  ]),
  ...Object.entries(LARK).map(([name, lark]) => ({ name: `Lark: ${name}`, make: (): Format => ({ lark: lark() }) })),
];
