const HEADING = /^#(?:part|variant) (\S+)\n/m;

/**
 * Looks up sections of shader libraries by name. A line `#part NAME` or `#variant KIND/CHOICE` begins a section: a part has
 * one text; a variant is one of the texts that a kernel may use for a kind. The lookup throws for an unknown name.
 */
export function shaderParts(...libraries: readonly string[]): (name: string) => string {
  const sections = new Map<string, string>();
  for (const library of libraries) {
    const [, ...pieces] = library.split(HEADING);
    for (let i = 0; i + 1 < pieces.length; i += 2) {
      const name = pieces[i]!;
      if (sections.has(name)) throw new Error(`two sections of the shader libraries are named "${name}"`);
      sections.set(name, pieces[i + 1]!.trim());
    }
  }
  return (name) => {
    const text = sections.get(name);
    if (text === undefined) {
      throw new Error(`no section "${name}" in the shader libraries; they have ${[...sections.keys()].join(', ')}`);
    }
    return text;
  };
}
