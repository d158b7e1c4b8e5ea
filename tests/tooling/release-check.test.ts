import { expect, it } from 'vitest';
import { readRelease, releaseProblems } from '../../tools/release-check.ts';

const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- What comes next.

## [1.2.0] - 2026-03-04

### Added

- A thing.

## [1.1.0] - unreleased

### Fixed

- Another.

## [1.0.0] - 2026-01-02
`;

const problems = (version: string, tag?: string) => releaseProblems({ version, changelog: CHANGELOG, tag });

it('accepts a version that agrees with its tag and changelog', () => {
  expect(problems('1.2.0', 'v1.2.0')).toEqual([]);
});

it.each([
  ['another tag', '1.2.0', 'v1.3.0', ['the tag is v1.3.0, but package.json says 1.2.0']],
  ['a tag without v', '1.2.0', '1.2.0', ['the tag is 1.2.0, but package.json says 1.2.0']],
  ['no section', '1.3.0', 'v1.3.0', ['CHANGELOG.md has no section [1.3.0]']],
  ['a section of a version that begins alike', '1.2', 'v1.2', ['CHANGELOG.md has no section [1.2]']],
  ['no date', '1.1.0', 'v1.1.0', ['CHANGELOG.md gives no date: "## [1.1.0] - unreleased" must end in YYYY-MM-DD']],
  ['an empty section', '1.0.0', 'v1.0.0', ['CHANGELOG.md tells nothing of 1.0.0']],
])('refuses %s', (_what, version, tag, expected) => {
  expect(problems(version, tag)).toEqual(expected);
});

it('requires no date before there is a tag', () => {
  expect(problems('1.1.0')).toEqual([]);
});

it('finds the section of this repository’s version', () => {
  expect(releaseProblems(readRelease())).toEqual([]);
});
