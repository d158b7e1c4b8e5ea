import { type CharRegex, parsePattern } from '../regex/syntax.ts';

const hex = '[0-9a-fA-F]';
const byte = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const ipv4 = `${byte}(\\.${byte}){3}`;
const group = `${hex}{1,4}`;
/** RFC 4291, 2.2, except the mixed notation: eight groups, or fewer with a `::` for zeros. */
const ipv6 = [
  `${group}(:${group}){7}`,
  ...Array.from({ length: 8 }, (_, before) => {
    const after = 7 - before;
    const left = before === 0 ? '' : `${group}(:${group}){${before - 1}}`;
    return `${left}::${after === 0 ? '' : `(${group}(:${group}){0,${after - 1}})?`}`;
  }),
].join('|');

const leapYear = '(([02468][048]|[13579][26])00|[0-9]{2}(0[48]|[2468][048]|[13579][26]))';
const date = [
  '[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))',
  `${leapYear}-02-29`,
].join('|');
const offset = '([zZ]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])';
/** Leap seconds are allowed at 23:59:60 UTC; those in other time zones are left out. */
const time = [
  `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?${offset}`,
  '23:59:60(\\.[0-9]+)?([zZ]|[+-]00:00)',
].join('|');

const seconds = '[0-9]+S';
const minutes = `[0-9]+M(${seconds})?`;
const hours = `[0-9]+H(${minutes})?`;
const timeSpan = `T(${hours}|${minutes}|${seconds})`;
const days = '[0-9]+D';
const months = `[0-9]+M(${days})?`;
const years = `[0-9]+Y(${months})?`;
/** RFC 3339, appendix A. */
const duration = `P((${years}|${months}|${days})(${timeSpan})?|${timeSpan}|[0-9]+W)`;

const atom = "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+";
const domainPart = '[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?';
/** RFC 5321, 4.1.2, except quoted local parts, addresses instead of a domain, and domains of one part. */
const email = `${atom}(\\.${atom})*@${domainPart}(\\.${domainPart})+`;
const label = '[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const hostname = `${label}(\\.${label})*`;
const uuid = `${hex}{8}-${hex}{4}-${hex}{4}-${hex}{4}-${hex}{12}`;

// RFC 3986, appendix A, except an empty path without an authority.
const escaped = `%${hex}{2}`;
const ordinary = "a-zA-Z0-9._~!$&'()*+,;=\\-";
const segmentCharacter = `([${ordinary}:@]|${escaped})`;
const segments = `(/${segmentCharacter}*)*`;
const host = `(\\[(${ipv6}|v${hex}+\\.[${ordinary}:]+)\\]|([${ordinary}]|${escaped})*)`;
const authority = `(([${ordinary}:]|${escaped})*@)?${host}(:[0-9]*)?`;
const rootless = `${segmentCharacter}+${segments}`;
const absolute = `//${authority}${segments}|/(${rootless})?`;
const hierarchy = `(${absolute}|${rootless})`;
const tail = `([${ordinary}:@/?]|${escaped})*`;
const query = `(\\?${tail})?(#${tail})?`;
const uri = `[a-zA-Z][a-zA-Z0-9+.-]*:${hierarchy}${query}`;
/** The first segment has no colon, which would end a scheme. */
const relative = `(${absolute}|([${ordinary}@]|${escaped})+${segments})?${query}`;

const word = 'a-zA-Z0-9\\x{a1}-\\x{d7ff}';
const nameOfUrl = `([${word}]+-)*[${word}]+`;
/** As in ajv-formats, except user names, and addresses instead of a host name. */
const url = `(?i:https?|ftp)://${nameOfUrl}(\\.${nameOfUrl})*\\.[a-zA-Z\\x{a1}-\\x{d7ff}]{2,}(:[0-9]{2,5})?(/[^\\s\\x{feff}]*)?`;

const base64 = '[a-zA-Z0-9+/]';
/** RFC 6901. */
const pointer = '(/([^/~]|~[01])*)*';

const SOURCES: Readonly<Record<string, string>> = {
  date,
  time,
  'date-time': `(${date})[tT](${time})`,
  duration,
  email,
  hostname,
  ipv4,
  ipv6,
  uuid,
  uri,
  'uri-reference': `${uri}|${relative}`,
  url,
  byte: `(${base64}{4})*(${base64}{2}==|${base64}{3}=)?`,
  'json-pointer': pointer,
  'relative-json-pointer': `(0|[1-9][0-9]*)(#|${pointer})`,
};

/** Formats that generators such as llguidance know too. */
export const GENERATOR_FORMATS: ReadonlySet<string> = new Set([
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uuid',
  'uri',
]);

const PATTERNS = new Map<string, CharRegex>();
/** Most characters of a host name (RFC 1123, 2.1, and RFC 1035, 2.3.4). */
const MOST_HOSTNAME = 253;

/** The pattern of a `format`; undefined for formats that are not checked, as a validator may ignore any format. */
export function formatPattern(format: string): CharRegex | undefined {
  const source = Object.hasOwn(SOURCES, format) ? SOURCES[format] : undefined;
  if (source === undefined) return undefined;
  let pattern = PATTERNS.get(format);
  if (!pattern) {
    pattern = parsePattern(source, 'rust');
    if (format === 'hostname') pattern = { kind: 'and', parts: [pattern, atMost(MOST_HOSTNAME)] };
    PATTERNS.set(format, pattern);
  }
  return pattern;
}

const atMost = (most: number): CharRegex => ({
  kind: 'repeat',
  part: { kind: 'chars', ranges: [[0, 0x10ffff]] },
  least: 0,
  most,
});
