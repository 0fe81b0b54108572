import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closest, editDistance, suggestion } from './suggest.ts';

describe('editDistance', () => {
  it('counts an exchange of neighbours as one edit', () => {
    expect(editDistance('orgiin', 'origin')).toBe(1);
    expect(editDistance('prots', 'ports')).toBe(1);
    expect(editDistance('', 'abc')).toBe(3);
  });

  it('is symmetric, zero only for equals, and at most the longer length', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (a, b) => {
        const distance = editDistance(a, b);
        expect(distance).toBe(editDistance(b, a));
        expect(distance === 0).toBe(a === b);
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});

describe('closest', () => {
  it('finds what was meant, and nothing when nothing is near', () => {
    expect(closest('orgin', ['pops', 'origin', 'only'])).toBe('origin');
    expect(closest('Origin', ['origin'])).toBe('origin');
    expect(closest('lno', ['lon', 'iad'])).toBe('lon');
    expect(closest('banana', ['lon', 'iad'])).toBeUndefined();
  });

  it('lists what there is when nothing is near', () => {
    expect(suggestion('banana', ['lon', 'iad'])).toBe('; one of: lon, iad');
    expect(suggestion('banana', [])).toBe('');
  });
});
