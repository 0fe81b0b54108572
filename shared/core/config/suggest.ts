/** The nearest valid word to one that is not: "did you mean …". */
import type { ConfigProblem } from './schema.ts';

/** Edits are insertion, deletion, substitution and exchange of neighbours (Damerau–Levenshtein, optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length]!;
}

/** The word of `valid` nearest to `word`, if it is near enough to be meant: about one edit in three letters. */
export function closest(word: string, valid: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined;
  const lower = word.toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor((word.length + 1) / 3)) + 1;
  for (const candidate of valid) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** `; did you mean "origin"?`, or else `; one of: a, b, c`, or nothing when there is nothing to choose from. */
export function suggestion(word: string, valid: readonly string[]): string {
  const near = closest(word, valid);
  if (near !== undefined) return `; did you mean "${near}"?`;
  if (valid.length === 0) return '';
  const shown = valid.slice(0, 12).join(', ');
  return `; one of: ${shown}${valid.length > 12 ? ', …' : ''}`;
}

/** `what` names the kind: `"lno" is no PoP; did you mean "lon"?` */
export function unknownReference(
  path: readonly (string | number)[],
  word: string,
  what: string,
  valid: readonly string[],
): ConfigProblem {
  return { path, message: `"${word}" is no ${what}${suggestion(word, valid)}` };
}
