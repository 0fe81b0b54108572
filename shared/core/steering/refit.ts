/**
 * Second choices of a map that is not quite what was built: where moves are held or wait for their turn, cells stay where
 * they were, and what was fitted for the others leaves no room for them at the loss of a PoP. First choices stay.
 */
import { type Asking, fitSeconds, fits, type PopLimits } from './capacity.ts';
import { scaled } from './fitted.ts';
import { findInterval, type MapGroup } from './map.ts';
import { laidOver } from './moves.ts';
import { Rows } from './rows.ts';
import { UnitRankings } from './unit-rankings.ts';

/** Cells that ask, by unit. */
export interface Units {
  readonly count: number;
  readonly family: Uint8Array;
  readonly hi: Uint32Array;
  readonly lo: Uint32Array;
}

/** `pops`: numbers in the map by place in the group's candidates. The group itself when its second choices fit. */
export function refitted(
  group: MapGroup,
  pops: readonly number[],
  asking: Asking,
  limits: PopLimits,
  units: Units,
): MapGroup {
  const { width, rankings } = group;
  const placeOf = new Uint8Array(256);
  for (const [place, pop] of pops.entries()) placeOf[pop] = place;
  const from = Uint32Array.from({ length: units.count }, (_, unit) => {
    const index = units.family[unit] === 4 ? group.v4 : group.v6;
    return index.ranking[findInterval(index, units.hi[unit]!, units.lo[unit]!)]! * width;
  });
  const now: Asking = { ...asking, choice: (unit, step) => placeOf[rankings[from[unit]! + step]!]! };
  if (fits(now, limits).second) return group;
  const fitted = new UnitRankings(width, units.count);
  fitSeconds(now, scaled(limits), fitted);
  return withRankings(group, pops, units, fitted);
}

function withRankings(group: MapGroup, pops: readonly number[], units: Units, changed: UnitRankings): MapGroup {
  const { width, rankings } = group;
  const rows = new Rows(width);
  for (let at = 0; at < rankings.length; at += width) rows.append(rankings.subarray(at, at + width));
  const { family, hi, lo } = units;
  const chosen: number[] = [];
  changed.forEach((unit) => {
    chosen.push(unit);
  });
  chosen.sort((a, b) => hi[a]! - hi[b]! || lo[a]! - lo[b]!);
  const part = (of: 4 | 6) => {
    const some = chosen.filter((unit) => family[unit] === of);
    const numbers = some.map((unit) => rows.intern(changed.get(unit)!.map((place) => pops[place]!)));
    return laidOver(of === 4 ? group.v4 : group.v6, units, some, numbers);
  };
  return { ...group, v4: part(4), v6: part(6), rankings: rows.bytes() };
}
