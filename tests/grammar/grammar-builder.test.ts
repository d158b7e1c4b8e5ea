import { describe, expect, it } from 'vitest';
import { GrammarBuilder } from '../../src/grammar/grammar.ts';
import { Fuel, GrammarError } from '../../src/grammar/limits.ts';

describe('a grammar', () => {
  it('has one terminal for equal expressions, in whatever order they were built', () => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    const a = builder.terminal(regexes.or(regexes.text('a'), regexes.text('b')));
    expect(builder.terminal(regexes.bytes([[0x61, 0x62]]))).toBe(a);
    expect(a).toBeLessThan(0);
    const root = builder.rule('root');
    builder.define(root, [[a, root], [a]]);
    const { terminals, rules, names, root: start } = builder.build(root);
    expect(terminals).toEqual([regexes.bytes([[0x61, 0x62]])]);
    expect({ rules, names, start }).toEqual({ rules: [[[-1, 0], [-1]]], names: ['root'], start: 0 });
  });

  it('has no terminal that matches the empty string', () => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    const digits = regexes.repeat(regexes.bytes([[0x30, 0x39]]), 0, Infinity);
    const [maybe, nothing] = [builder.terminal(digits), builder.terminal(regexes.empty)];
    expect(builder.terminal(digits)).toBe(maybe);
    const root = builder.rule();
    builder.define(root, [[maybe, nothing]]);
    const grammar = builder.build(root);
    expect(grammar.terminals).toEqual([regexes.repeat(regexes.bytes([[0x30, 0x39]]), 1, Infinity)]);
    expect(grammar.rules).toEqual([[[1, 2]], [[], [-1]], [[]]]);
  });

  it('omits rules and terminals that no answer can use', () => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    const [a, b] = [builder.terminal(regexes.text('a')), builder.terminal(regexes.text('b'))];
    const impossible = builder.terminal(regexes.and(regexes.text('xa'), regexes.not(regexes.text('xa'))));
    const [unused, endless, root, other] = ['unused', 'endless', 'root', 'other'].map((name) => builder.rule(name)) as [
      number,
      number,
      number,
      number,
    ];
    builder.define(unused, [[b]]);
    builder.define(endless, [[b, endless]]);
    builder.define(root, [[endless], [a, other], [root], [a, other], [impossible, b]]);
    builder.define(other, [[], [a, root, a]]);
    const grammar = builder.build(root);
    expect(grammar.names).toEqual(['root', 'other']);
    expect(grammar.rules).toEqual([[[-1, 1]], [[], [-1, 0, -1]]]);
    expect(grammar.terminals).toEqual([regexes.text('a')]);
  });

  it('may be one terminal', () => {
    const builder = new GrammarBuilder();
    const grammar = builder.build(builder.terminal(builder.regexes.text('yes')));
    expect(grammar.rules).toEqual([[[-1]]]);
    expect(grammar.root).toBe(0);
  });

  it('is refused if it is incomplete or matches nothing', () => {
    const builder = new GrammarBuilder();
    const [root, missing] = [builder.rule('root'), builder.rule('missing')];
    builder.define(root, [[missing]]);
    expect(() => builder.build(root)).toThrow('the rule missing is not defined');
    expect(() => builder.define(root, [])).toThrow('the rule root is defined twice');
    builder.define(missing, [[root]]);
    expect(() => builder.build(root)).toThrow(new GrammarError('no answer can match this grammar'));
  });

  it('is refused if it is too large', () => {
    const builder = new GrammarBuilder(new Fuel(1000, 'the schema'));
    const rule = builder.rule();
    expect(() =>
      builder.define(
        rule,
        Array.from({ length: 600 }, () => [rule]),
      ),
    ).toThrow('the schema is too large');
  });
});
