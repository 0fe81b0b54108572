/** Medians of few numbers, again and again: no object a time, and no call out of the engine for what is sorted in place. */

type Numbers = Float64Array | Float32Array;

/** Up to here insertion is quickest. */
const shortMax = 32;

/** Sorts `values[from]` up to, not with, `values[end]`. */
export function sortPart(values: Numbers, from: number, end: number): void {
  if (end - from > shortMax) {
    values.subarray(from, end).sort();
    return;
  }
  for (let i = from + 1; i < end; i++) {
    const value = values[i]!;
    let at = i;
    for (; at > from && values[at - 1]! > value; at--) values[at] = values[at - 1]!;
    values[at] = value;
  }
}

/** Median of that part, which is sorted then; 0 of nothing. */
export function medianOfPart(values: Numbers, from: number, end: number): number {
  const length = end - from;
  if (length === 0) return 0;
  sortPart(values, from, end);
  return (values[from + ((length - 1) >> 1)]! + values[from + (length >> 1)]!) / 2;
}

/** The same of many without sorting them (Hoare 1961, "Find"): they are out of order then. 0 of nothing. */
export function medianByPicking(values: Numbers, from: number, end: number): number {
  if (end - from <= shortMax) return medianOfPart(values, from, end);
  const upper = from + ((end - from) >> 1);
  pick(values, from, end - 1, upper);
  if ((end - from) % 2 === 1) return values[upper]!;
  let lower = values[from]!;
  for (let i = from + 1; i < upper; i++) if (values[i]! > lower) lower = values[i]!;
  return (lower + values[upper]!) / 2;
}

/** Puts the value that belongs at `at` there, none larger before it and none smaller behind it; all between first and last. */
function pick(values: Numbers, first: number, last: number, at: number): void {
  let [low, high] = [first, last];
  while (low < high) {
    const middle = values[(low + high) >> 1]!;
    let [i, j] = [low, high];
    while (i <= j) {
      while (values[i]! < middle) i++;
      while (values[j]! > middle) j--;
      if (i > j) break;
      const value = values[i]!;
      values[i++] = values[j]!;
      values[j--] = value;
    }
    if (at <= j) high = j;
    else if (at >= i) low = i;
    else return;
  }
}

/**
 * The middle of many numbers, of several parts: the one or two middle ones, and those beside them. That is all it takes to
 * say the median, what it is without one of them, and how far one can move it.
 *
 *     five    ·  a  m  b  ·         six    ·  a  m  n  b  ·
 */
export class Middles {
  /** Numbers by part. */
  readonly counts: Uint32Array;
  readonly #values: Float32Array;

  constructor(parts: number) {
    this.counts = new Uint32Array(parts);
    this.#values = new Float32Array(4 * parts).fill(Number.NaN);
  }

  /** Those of `values[from]` up to, not with, `values[end]`, which are out of order then. */
  put(part: number, values: Float32Array, from: number, end: number): void {
    const count = end - from;
    this.counts[part] = count;
    if (count === 0) return;
    const upper = from + (count >> 1);
    if (count <= shortMax) sortPart(values, from, end);
    else pick(values, from, end - 1, upper);
    let [largest, second] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = from; i < upper; i++) {
      const value = values[i]!;
      if (value > largest) {
        second = largest;
        largest = value;
      } else if (value > second) second = value;
    }
    let least = Number.POSITIVE_INFINITY;
    for (let i = upper + 1; i < end; i++) if (values[i]! < least) least = values[i]!;
    const middle = values[upper]!;
    const at = 4 * part;
    const isOdd = count % 2 === 1;
    this.#values[at] = isOdd ? largest : second;
    this.#values[at + 1] = isOdd ? middle : largest;
    this.#values[at + 2] = middle;
    this.#values[at + 3] = least;
  }

  median(part: number): number {
    return (this.#values[4 * part + 1]! + this.#values[4 * part + 2]!) / 2;
  }

  /** Median of the others; `value` is one of at least two. */
  without(part: number, value: number): number {
    const at = 4 * part;
    const [below, lower, upper, above] = [
      this.#values[at]!,
      this.#values[at + 1]!,
      this.#values[at + 2]!,
      this.#values[at + 3]!,
    ];
    if (this.counts[part]! % 2 === 0) return lower >= value ? upper : lower;
    return ((below >= value ? lower : below) + (lower >= value ? above : lower)) / 2;
  }

  /** How far the median goes at most when one of them says anything else; infinity below three. */
  slack(part: number): number {
    if (this.counts[part]! < 3) return Number.POSITIVE_INFINITY;
    const at = 4 * part;
    const values = this.#values;
    const ms = this.median(part);
    const isOdd = this.counts[part]! % 2 === 1;
    // One taken from one side and put on the other shifts both middle ranks by one at most.
    const low = isOdd ? values[at]! : (values[at]! + values[at + 1]!) / 2;
    const high = isOdd ? values[at + 3]! : (values[at + 2]! + values[at + 3]!) / 2;
    return Math.max(ms - low, high - ms);
  }
}
