/** Brings to a build what guards go by beside the evidence of its cells. The simulator does by this too. */
import { type Address, cellOf, parsePrefix } from '@ufes/core/ip.ts';
import type { SampleRecord } from '@ufes/core/samples.ts';
import type { Availability } from '@ufes/core/steering/availability.ts';
import type { PopGuard } from '@ufes/core/steering/guards.ts';
import type { JudgeInput } from '@ufes/core/steering/judging.ts';
import type { Fed } from './feed.ts';

const target = 'pop:';

export function noteTries(availability: Availability, { prefix, kind, atMs, observations }: SampleRecord): void {
  const parsed = parsePrefix(prefix);
  if (parsed === undefined) return;
  const { family, hi, lo } = cellOf(parsed);
  for (const { target: of, ok } of observations) {
    if (of.startsWith(target)) availability.add(of.slice(target.length), family, hi, lo, ok, kind === 'edge', atMs);
  }
}

/** Looks at all PoPs again. `doubted`: those (ids) that a check fails of. */
export function stepGuards(availability: Availability, doubted: ReadonlySet<string>, fed: Fed, nowMs: number): void {
  const { build, plan } = fed;
  availability.step(build.cells, (row) => build.asnOf(row), plan.pops, doubted, nowMs);
  tellGuards(availability, fed);
}

export function tellGuards({ now, doubted }: Availability, { build, plan }: Fed): void {
  const known = (id: string) => plan.pops.includes(id);
  const unreached = [...now].flatMap(([id, until]) =>
    known(id) ? [...until.keys()].map((asn) => asn * 256 + plan.pops.indexOf(id)) : [],
  );
  const numbers = [...doubted].filter(known).map((id) => plan.pops.indexOf(id));
  build.setGuards({ doubted: new Set(numbers), unreached: new Set(unreached) });
}

/** By PoP id: what keeps it from being first for a client, by the service's group. */
export function guardsOf({ build, plan }: Fed, client: Address, group: number): Readonly<Record<string, PopGuard>> {
  const { family, hi, lo } = cellOf(client);
  const row = build.cells.rowOf(family, hi, lo);
  if (row < 0 || group < 0) return {};
  const found: Record<string, PopGuard> = {};
  for (const [pop, id] of plan.pops.entries()) {
    const guard = build.guardOf(group, row, pop);
    if (guard !== undefined) found[id] = guard;
  }
  return found;
}

/** For the judge. */
export function guardLookup({ build, plan }: Fed): NonNullable<JudgeInput['guardOf']> {
  const groups = new Map(plan.groups.map(({ key }, group) => [key, group]));
  return (family, hi, lo, key, id) => {
    const [row, group, pop] = [build.cells.rowOf(family, hi, lo), groups.get(key), plan.pops.indexOf(id)];
    return row < 0 || group === undefined || pop < 0 ? undefined : build.guardOf(group, row, pop);
  };
}
