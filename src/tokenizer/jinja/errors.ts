/** What Jinja2 itself refuses: bad syntax, an operation that Python has not, a name that is undefined. */
export class TemplateError extends Error {}

/** What does more than a template has to do. */
export class LimitError extends Error {}

/** What Jinja2 would do and this engine does not: it says so instead of writing something else. */
export class UnsupportedError extends Error {
  constructor(what: string) {
    super(`it needs ${what}, which is not supported`);
  }
}
