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

/** Median of the others; `value` is one of a part that is sorted. */
export function medianWithout(sorted: Numbers, from: number, end: number, value: number): number {
  let low = from;
  let high = end;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  const length = end - from - 1;
  const [a, b] = [from + ((length - 1) >> 1), from + (length >> 1)];
  return (sorted[a < low ? a : a + 1]! + sorted[b < low ? b : b + 1]!) / 2;
}
