import { UnsupportedError } from './errors.ts';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
];

const two = (value: number): string => String(value).padStart(2, '0');
const hours12 = (date: Date): number => date.getHours() % 12 || 12;
const PARTS: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => (DAYS[date.getDay()] ?? '').slice(0, 3),
  A: (date) => DAYS[date.getDay()] ?? '',
  b: (date) => (MONTHS[date.getMonth()] ?? '').slice(0, 3),
  B: (date) => MONTHS[date.getMonth()] ?? '',
  d: (date) => two(date.getDate()),
  H: (date) => two(date.getHours()),
  I: (date) => two(hours12(date)),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  S: (date) => two(date.getSeconds()),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  '%': () => '%',
};

const WHOLE: Readonly<Record<string, string>> = { F: '%Y-%m-%d', R: '%H:%M', T: '%H:%M:%S' };

/** Python's `strftime` in the locale C, which is the one templates are written for. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-]?)([^]?)/gu, (all, flag: string, letter: string) => {
    const whole = WHOLE[letter];
    if (whole !== undefined && flag === '') return strftime(date, whole);
    const part = Object.hasOwn(PARTS, letter) ? PARTS[letter]?.(date) : undefined;
    if (part === undefined) throw new UnsupportedError(`the date's format '${all}'`);
    return flag === '-' ? part.replace(/^[0 ]+(?=\d)/, '') : part;
  });
}
