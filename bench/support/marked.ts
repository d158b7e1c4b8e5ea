/** Text between `<!-- MARK -->` and `<!-- /MARK -->` of a document, which is generated from results. */
export const between = (document: string, mark: string): string => document.slice(...placeOf(document, mark)).trim();

/** Replaces the marked text. */
export function withBetween(document: string, mark: string, text: string): string {
  const [from, to] = placeOf(document, mark);
  return `${document.slice(0, from)}\n${text}\n${document.slice(to)}`;
}

function placeOf(document: string, mark: string): [from: number, to: number] {
  const [begin, end] = [`<!-- ${mark} -->`, `<!-- /${mark} -->`];
  const [from, to] = [document.indexOf(begin) + begin.length, document.indexOf(end)];
  if (from < begin.length || to < from) throw new Error(`no ${begin} before ${end}`);
  return [from, to];
}
