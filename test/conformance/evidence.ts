/** Folds whose every part says which fold it is of, so that half of one would show. */
import type { Fold, Lease } from '@ufes/core/ports.ts';

export function encodeCount(n: number): Uint8Array {
  return new Uint8Array(new Float64Array([n]).buffer);
}

/** Also of a row of foldOf. */
export function decodeCount(bytes: Uint8Array): number {
  return new Float64Array(bytes.slice(0, 8).buffer)[0]!;
}

/** Large, so that a store that caches a transaction has to write some of it before its end. */
function rowOf(n: number): Uint8Array {
  const row = new Uint8Array(8192);
  row.set(encodeCount(n));
  return row;
}

/** Fold number n of shard 0: `rows` rows, the offset of collector `c` and one token, all saying n. */
export function foldOf(lease: Lease, n: number, rows: number): Fold {
  return {
    shard: 0,
    lease,
    from: n === 1 ? {} : { c: n - 1 },
    to: { c: n },
    rows: Array.from({ length: rows }, (_, i) => ({ key: `row ${i}`, bytes: rowOf(n) })),
    tokens: [{ id: `token ${n}`, expiresAtMs: 1_000_000 }],
  };
}
