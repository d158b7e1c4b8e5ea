/** A change of one file: `find` stands in it exactly once. */
export interface Edit {
  /** From the repository's root. */
  file: string;
  find: string;
  replace: string;
}

interface Told {
  /** Names it, in kebab-case. */
  id: string;
  /** What goes wrong with it. */
  what: string;
  /** The commit that mended it, by its short hash; or that it never was in the code. */
  from: string;
  /** Test files that should find it, best first. */
  tests: readonly string[];
}

/** A plausible mistake, as small as possible. One that needs several edits has them in `edits`. */
export type Fault = Told & (Edit | { edits: readonly Edit[] });

export const editsOf = (fault: Fault): readonly Edit[] => ('edits' in fault ? fault.edits : [fault]);

/** The file with an edit made. Throws unless what it replaces stands there exactly once. */
export function edited(text: string, { file, find, replace }: Edit): string {
  const [before, after, ...more] = text.split(find);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${file} has ${text.split(find).length - 1} times, and not once: ${find}`);
  }
  return before + replace + after;
}
