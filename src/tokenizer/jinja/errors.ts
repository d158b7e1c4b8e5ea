/** An error of Jinja2: bad syntax, an operation that Python lacks, an undefined name. */
export class TemplateError extends Error {}

/** The template exceeds the limits on its work. */
export class LimitError extends Error {}

/** A feature of Jinja2 that this engine lacks; it fails instead of writing something else. */
export class UnsupportedError extends Error {
  constructor(what: string) {
    super(`it needs ${what}, which is not supported`);
  }
}
