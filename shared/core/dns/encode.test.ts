import packet from 'dns-packet';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { beginAnswer, createWriter, finishAnswer, Section, writeRecord } from './encode.ts';
import { createQuery, decodeQuery } from './message.ts';
import { nameToText, nameToWire, readName } from './name.ts';

const wire = (text: string) => nameToWire(text) as Uint8Array;
const asked = Uint8Array.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...wire('a.Shop.Example.'), 0, 5, 0, 1]);
const NS = 2;
const SRV = 33;

/** Few labels, so that suffixes repeat; `a.a` and the like try a name against its own beginning. */
const someName = fc
  .array(fc.constantFrom('a', 'b', 'shop', 'example', 'A'), { maxLength: 6 })
  .map((labels) => (labels.length === 0 ? '.' : `${labels.join('.')}.`));

function write(records: readonly { owner: string; data: string; section: Section }[], limit: number): Uint8Array {
  const query = createQuery();
  decodeQuery(asked, query);
  // What an earlier, longer answer left behind must not be read.
  const writer = createWriter(new Uint8Array(65_535).fill(0xc0));
  beginAnswer(writer, asked, query, limit);
  for (const { owner, data, section } of records) writeRecord(writer, section, wire(owner), NS, 60, wire(data));
  return writer.bytes.subarray(0, finishAnswer(writer, query, 0, true, 0));
}

it('compressed names read back as they were written, shorter than in full', () => {
  const record = fc.record({ owner: someName, data: someName });
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 30 }), (list) => {
      const bytes = write(
        list.map((one) => ({ ...one, section: Section.answer })),
        65_535,
      );
      const read = packet.decode(Buffer.from(bytes));
      const text = (name: string) => `${name === '.' ? '' : name}`.replace(/\.$/, '').toLowerCase();
      expect(read.answers.map(({ name, data }) => [text(name), text(String(data))])).toEqual(
        list.map(({ owner, data }) => [text(owner), text(data)]),
      );
      const full = list.reduce(
        (sum, { owner, data }) => sum + wire(owner).length + wire(data).length + 10,
        asked.length,
      );
      expect(bytes.length).toBeLessThanOrEqual(full);
    }),
    { numRuns: 2_000 },
  );
});

it('what does not fit leaves an empty answer with TC, whatever the limit', () => {
  const list = Array.from({ length: 6 }, (_, i) => ({
    owner: `n${i}.a.a.b.`,
    data: `x${i}.example.`,
    section: Section.answer,
  }));
  const whole = write(list, 65_535).length;
  for (let limit = asked.length; limit <= whole; limit++) {
    const read = packet.decode(Buffer.from(write(list, limit)));
    expect(read.flag_tc).toBe(limit < whole);
    expect(read.answers).toHaveLength(limit < whole ? 0 : 6);
  }
});

it('leaves names in types younger than RFC 1035 uncompressed (RFC 3597 §4)', () => {
  const query = createQuery();
  decodeQuery(asked, query);
  const writer = createWriter(new Uint8Array(512));
  beginAnswer(writer, asked, query, 512);
  const rdata = Uint8Array.from([0, 0, 0, 5, 1, 187, ...wire('shop.example.')]);
  writeRecord(writer, Section.answer, undefined, SRV, 60, rdata);
  const bytes = writer.bytes.subarray(0, finishAnswer(writer, query, 0, true, 0));
  expect(bytes.slice(bytes.length - rdata.length)).toEqual(rdata);
  expect(nameToText(readName(bytes, asked.length)!.wire)).toBe('a.Shop.Example.');
});
