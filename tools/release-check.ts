/**
 * Reports what blocks a release of this version and fails if anything does: node --import tsx tools/release-check.ts
 * [TAG]
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Release {
  /** Version in package.json. */
  version: string;
  changelog: string;
  /** Undefined before the tag exists, when the changelog may lack the release date. */
  tag?: string;
}

/** One sentence per problem. */
export function releaseProblems({ version, changelog, tag }: Release): string[] {
  const problems: string[] = [];
  if (tag !== undefined && tag !== `v${version}`) problems.push(`the tag is ${tag}, but package.json says ${version}`);
  const [, ...sections] = changelog.split(/^## /m);
  const section = sections.find((each) => each.startsWith(`[${version}]`));
  if (section === undefined) return [...problems, `CHANGELOG.md has no section [${version}]`];
  const [heading = ''] = section.split('\n');
  if (!/^- /m.test(section)) problems.push(`CHANGELOG.md tells nothing of ${version}`);
  if (tag !== undefined && !/ - \d{4}-\d{2}-\d{2}$/.test(heading)) {
    problems.push(`CHANGELOG.md gives no date: "## ${heading}" must end in YYYY-MM-DD`);
  }
  return problems;
}

/** Release data of this repository. */
export function readRelease(tag?: string): Release {
  const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
  const { version } = JSON.parse(read('package.json')) as { version: string };
  return { version, changelog: read('CHANGELOG.md'), tag };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const release = readRelease(process.argv[2] || undefined);
  const problems = releaseProblems(release);
  console.log(problems.join('\n') || `${release.tag ?? release.version} can be released`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
