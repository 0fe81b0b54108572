/** Desired states as they come off the wire: what is none is refused. */
import { describe, expect, it } from 'vitest';
import { decodeDesired } from './desired.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('a desired state', () => {
  it('is read as it was written', () => {
    const state = { format: 1, version: { ms: 1, writer: 'a' }, pops: [], services: [] };
    expect(decodeDesired(bytes(JSON.stringify(state)))).toEqual(state);
  });

  it.each([
    ['', 'no JSON'],
    ['{"format":1,', 'no JSON'],
    ['null', 'format undefined'],
    ['[]', 'format undefined'],
    ['7', 'format undefined'],
    ['{"format":0,"pops":[]}', 'format 0, expected 1'],
    ['{"format":2,"pops":[]}', 'format 2, expected 1'],
    [`{"format":1,"pops":[${Array(255).fill('{}').join()}]}`, '255 PoPs'],
  ])('is not what says %.30s', (text, why) => {
    expect(() => decodeDesired(bytes(text))).toThrow(why);
    expect(() => decodeDesired(bytes(text))).toThrow(expect.objectContaining({ code: 'ARTEFACT_CORRUPT' }));
  });

  it('is no text that is not UTF-8', () => {
    expect(() => decodeDesired(Uint8Array.of(0x22, 0xff, 0x22))).toThrow('no JSON');
  });
});
