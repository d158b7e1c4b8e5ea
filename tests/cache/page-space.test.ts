import { describe, expect, it } from 'vitest';
import { PageSpace } from '../../src/cache/layer-pages.ts';
import type { Place } from '../../src/cache/cache-page.ts';
import { Random } from '../support/random.ts';

const overlaps = (a: Place, b: Place): boolean => a.offset < b.offset + b.units && b.offset < a.offset + a.units;

describe('PageSpace', () => {
  it('keeps places disjoint and contents intact while places are allocated, freed and packed', () => {
    const random = new Random(41);
    const space = new PageSpace(64);
    let memory = new Int32Array(64);
    const live = new Map<Place, number>();
    for (let step = 1; step <= 5000; step++) {
      const place = space.take([1, 3, 8][Math.floor(3 * random.next())] ?? 1);
      if (place) {
        for (const other of live.keys()) expect(overlaps(place, other)).toBe(false);
        expect(place.offset + place.units).toBeLessThanOrEqual(space.capacity);
        memory.fill(step, place.offset, place.offset + place.units);
        live.set(place, step);
      } else {
        const packed = new Int32Array(space.liveUnits + 16);
        space.pack(packed.length, ({ offset, units }, to) => packed.set(memory.subarray(offset, offset + units), to));
        memory = packed;
      }
      const victims = [...live.keys()].filter(() => random.next() < 0.2);
      for (const victim of victims) {
        space.free(victim);
        live.delete(victim);
      }
      for (const [{ offset, units }, mark] of live) {
        expect(memory.subarray(offset, offset + units).every((value) => value === mark)).toBe(true);
      }
      expect(space.liveUnits).toBe([...live.keys()].reduce((sum, { units }) => sum + units, 0));
    }
  });

  it('serves a size from freed places of that size, without growing', () => {
    const space = new PageSpace(8);
    const [first] = [space.take(4), space.take(4)];
    expect(space.take(4)).toBeUndefined();
    space.free(first as Place);
    expect(space.take(4)?.offset).toBe(first?.offset);
  });

  it('refuses a place freed twice, and a buffer too small for the live places', () => {
    const space = new PageSpace(8);
    const place = space.take(8) as Place;
    expect(() => space.pack(7, () => undefined)).toThrow('do not fit');
    space.free(place);
    expect(() => space.free(place)).toThrow('twice');
  });
});
