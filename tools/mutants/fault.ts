/** A change of one file: `find` must occur in it exactly once. */
export interface Edit {
  /** Path from the repository's root. */
  file: string;
  find: string;
  replace: string;
}

interface Told {
  /** Name in kebab-case. */
  id: string;
  /** Its effect. */
  what: string;
  /** Short hash of the commit that fixed it, or `seeded` if it never occurred. */
  from: string;
  /** Test files that should find it, best first. */
  tests: readonly string[];
}

/** A plausible mistake, as small as possible; several edits are in `edits`. */
export type Fault = Told & (Edit | { edits: readonly Edit[] });

export const editsOf = (fault: Fault): readonly Edit[] => ('edits' in fault ? fault.edits : [fault]);

/** Applies an edit to a file's text. Throws unless the replaced text occurs there exactly once. */
export function edited(text: string, { file, find, replace }: Edit): string {
  const [before, after, ...more] = text.split(find);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${file} has ${text.split(find).length - 1} times, and not once: ${find}`);
  }
  return before + replace + after;
}
