/** Binary search in rising starts of intervals, by one word (IPv4) or two (the upper 64 bits of IPv6). No allocation. */

/** The last of starts[low … high] that is at or before `hi`; `low` is known to be. */
export function lastAtOrBefore32(starts: Uint32Array, low: number, high: number, hi: number): number {
  let first = low;
  let last = high;
  while (first < last) {
    const middle = (first + last + 1) >>> 1;
    if (starts[middle]! <= hi) first = middle;
    else last = middle - 1;
  }
  return first;
}

/** The same of starts of two words each. */
export function lastAtOrBefore64(
  starts: Uint32Array,
  startsLo: Uint32Array,
  low: number,
  high: number,
  hi: number,
  lo: number,
): number {
  let first = low;
  let last = high;
  while (first < last) {
    const middle = (first + last + 1) >>> 1;
    const start = starts[middle]!;
    if (start < hi || (start === hi && startsLo[middle]! <= lo)) first = middle;
    else last = middle - 1;
  }
  return first;
}
