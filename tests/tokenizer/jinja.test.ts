import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { BoundedTemplate, renderChat } from '../../src/tokenizer/chat-template.ts';
import { UnsupportedError } from '../../src/tokenizer/jinja/errors.ts';
import { strftime } from '../../src/tokenizer/jinja/format.ts';
import { expectError } from '../support/expect-error.ts';

/** Output of Python's Jinja2 from tools/fixtures/jinja_reference.py; null if it refused. */
type Expected = string | null;
type Variables = Record<string, unknown>;

const fixture = <T>(name: string): T =>
  JSON.parse(readFileSync(join(import.meta.dirname, `../fixtures/jinja/${name}.json`), 'utf8')) as T;

const refuse = (reason: string): never => {
  throw new Error(reason);
};
const render = (template: string, variables: Variables = {}): string =>
  new BoundedTemplate(template).render(variables, JSON.stringify(variables).length, refuse);

/** The output, `null` if refused, or the name of a difference between the engine and Jinja2. */
function result(template: string, variables: Variables): string | null {
  try {
    return render(template, variables);
  } catch (error) {
    return error instanceof UnsupportedError ? error.message : null;
  }
}

const { variables, cases } = fixture<{ variables: Variables; cases: [string, Expected][] }>('constructs');

it.each(cases)('%s', (template, expected) => {
  expect(result(template, variables)).toBe(expected);
});

describe('random templates', () => {
  const random = fixture<{ variables: Variables; cases: [string, Expected][] }>('generated');

  it('render as in Jinja2, fail where it fails, or are refused by name', () => {
    const differing = random.cases.filter(([template, expected]) => {
      const got = result(template, random.variables);
      return got !== expected && got?.endsWith('is not supported') !== true;
    });
    expect(differing).toEqual([]);
  });

  it('and three in four are supported', () => {
    const refused = random.cases.filter(([template, expected]) => result(template, random.variables) !== expected);
    expect(refused.length / random.cases.length).toBeLessThan(0.25);
  });
});

describe('chat templates render conversations as Jinja2 does', () => {
  const chats = fixture<{
    templates: Record<string, string>;
    conversations: Record<string, Variables>;
    cases: [template: string, conversation: string, Expected][];
  }>('chats');

  it.each(Object.entries(chats.templates))('%s', (name, template) => {
    const own = chats.cases.filter(([one]) => one === name);
    expect(own.length).toBe(Object.keys(chats.conversations).length);
    const got = own.map(([, conversation]) => [
      conversation,
      result(template, chats.conversations[conversation] ?? {}),
    ]);
    expect(got).toEqual(own.map(([, conversation, expected]) => [conversation, expected]));
  });
});

describe('a date', () => {
  const date = new Date(2026, 0, 5, 15, 4, 9);

  it('is in English, as in the C locale', () => {
    expect(strftime(date, '%Y-%m-%d %d %b %Y %B %A %a %H:%M:%S %I %p %y|%-d %-m %-I %% %F %T %R')).toBe(
      '2026-01-05 05 Jan 2026 January Monday Mon 15:04:09 03 PM 26|5 1 3 % 2026-01-05 15:04:09 15:04',
    );
  });

  it('in another form is refused', () => {
    expect(() => strftime(date, '%U')).toThrow(UnsupportedError);
  });
});

describe('features of Jinja2 that this engine lacks are refused by name', () => {
  it.each([
    ["{% include 'a' %}", "the tag 'include'"],
    ['{% block a %}{% endblock %}', "the tag 'block'"],
    ['{{ [1] | random }}', "the filter 'random'"],
    ['{{ [1] | map("abs") }}', 'printing where a generator lies in memory'],
    ["{{ 'a'.upper }}", 'printing where a function lies in memory'],
    ['{{ 2 ** 64 }}', 'an integer of more than 53 bits'],
    ['{{ 1.1 ** 3 }}', '1.1 ** 3 of floats'],
    ["{{ '%e' % 1.0 }}", "the format '%e'"],
    ["{{ 'a'.encode() }}", "'encode' of a str"],
    ["{{ '{:>5}'.format('a') }}", 'more than a name in a field of a format'],
    ['{{ [1] | batch(2) | list }}', "the filter 'batch'"],
    ["{{ cycler('a') }}", "the function 'cycler'"],
    ['{{ {}.fromkeys }}', "'fromkeys' of a dict"],
    ['{{ 1.5.hex() }}', "'hex' of a float"],
    ["{{ ('a' | e).upper() }}", 'the methods of what safe or escape gave'],
    ['{{ ([0.1] * 10) | sum }}', 'a sum of floats'],
  ])('%s', (template, what) => {
    expect(result(template, {})).toBe(`it needs ${what}, which is not supported`);
  });

  it('as unsupported, with the field of the file', async () => {
    const metadata: TokenizerMetadata = {
      file: 'tiny.gguf',
      model: 'gpt2',
      tokens: [],
      chatTemplate: "{% include 'a' %}",
    };
    await expectError(() => renderChat(metadata, [{ role: 'user', content: 'Hi' }]), 'unsupported', {
      ...{ file: 'tiny.gguf', field: 'tokenizer.chat_template', reason: /the tag 'include', which is not supported/ },
    });
  });
});
