/** What clients ask for, by cell: a /24 or /48 and nothing finer leaves the edge. */
import { cellOf, formatPrefix, parseAddress } from '@ufes/core/ip.ts';

/** Requests by prefix; of more cells than `most`, those that ask for most. */
export function demandByCell(clients: ReadonlyMap<string, number>, most: number): Record<string, number> {
  const cells = new Map<string, number>();
  for (const [text, requests] of clients) {
    const address = parseAddress(text);
    if (address === undefined) continue;
    const cell = formatPrefix(cellOf(address));
    cells.set(cell, (cells.get(cell) ?? 0) + requests);
  }
  if (cells.size <= most) return Object.fromEntries(cells);
  return Object.fromEntries([...cells].sort((a, b) => b[1] - a[1]).slice(0, most));
}
