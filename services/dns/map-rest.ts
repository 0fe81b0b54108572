/** The part of a map that stayed on disk, as decodeMap wants it. Reads block for a fraction of a millisecond: for explain. */
import type { ReadRest } from '@ufes/core/steering/map.ts';
import { type KeptRest, readKept } from '@ufes/io/sealed-file.ts';

export function readerOf(rest: KeptRest | undefined): ReadRest | undefined {
  return rest && ((offset, length) => readKept(rest, offset, length));
}
