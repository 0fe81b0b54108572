/** What a proposed configuration says otherwise than the one in service, in words for operators. Pure. */
import type { AllDown, DesiredPop, DesiredService } from '../desired.ts';
import type { PlanState } from './plan-input.ts';

export interface PlanChange {
  readonly kind: 'pop' | 'origin' | 'name' | 'zone' | 'room' | 'probe';
  readonly id: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What of it, from what to what. */
  readonly text: string;
}

export function changesOf(before: PlanState, after: PlanState): PlanChange[] {
  return [
    ...compared('pop', byId(before.pops), byId(after.pops), popTexts, ({ requestsPerSecond }) => {
      return `${requestsPerSecond} requests/s`;
    }),
    ...compared('origin', byId(before.origins), byId(after.origins), (a, b) => [
      ...differs('location', `${a.latitude}, ${a.longitude}`, `${b.latitude}, ${b.longitude}`),
      ...differs('servers', String(a.endpoints.length), String(b.endpoints.length)),
    ]),
    ...compared(
      'zone',
      new Map(before.zones?.map((zone) => [plain(zone.origin), zone])),
      new Map(after.zones?.map((zone) => [plain(zone.origin), zone])),
      () => [],
    ),
    ...compared(
      'name',
      byName(before),
      byName(after),
      (a, b) => serviceTexts(a, b, before, after),
      (service, isBefore) => {
        const { pops } = isBefore ? before : after;
        return service.candidates.map(({ pop }) => pops[pop]!.id).join(', ');
      },
    ),
    ...differs('soft', share(before.room?.soft), share(after.room?.soft)).map(roomChange),
    ...differs('hard', share(before.room?.hard), share(after.room?.hard)).map(roomChange),
    ...differs('evidence', sources(before), sources(after)).map((text): PlanChange => {
      return { kind: 'probe', id: 'sources', change: 'changed', text };
    }),
  ];
}

const roomChange = (text: string): PlanChange => ({ kind: 'room', id: 'room', change: 'changed', text });
const share = (value: number | undefined) => (value === undefined ? 'default' : `${Math.round(value * 100)}%`);
const sources = ({ probe }: PlanState) => probe.sources.toSorted().join(', ');
const plain = (name: string) => name.replace(/\.$/, '');
const byId = <T extends { readonly id: string }>(list: readonly T[]) => new Map(list.map((one) => [one.id, one]));
const byName = ({ services }: PlanState) => new Map(services.map((one) => [plain(one.name), one]));

function compared<T>(
  kind: PlanChange['kind'],
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  texts: (a: T, b: T) => string[],
  told: (one: T, isBefore: boolean) => string = () => '',
): PlanChange[] {
  const changes: PlanChange[] = [];
  for (const [id, one] of after) {
    const old = before.get(id);
    if (old === undefined) changes.push({ kind, id, change: 'added', text: told(one, false) });
    else for (const text of texts(old, one)) changes.push({ kind, id, change: 'changed', text });
  }
  for (const [id, one] of before) {
    if (!after.has(id)) changes.push({ kind, id, change: 'removed', text: told(one, true) });
  }
  return changes;
}

function differs(what: string, before: string, after: string): string[] {
  return before === after ? [] : [`${what}: ${before || 'none'} → ${after || 'none'}`];
}

function popTexts(a: DesiredPop, b: DesiredPop): string[] {
  const legs = ({ backboneRttMs }: DesiredPop) =>
    Object.entries(backboneRttMs)
      .map(([origin, ms]) => `${origin} ${ms} ms`)
      .join(', ');
  return [
    ...differs('capacity', `${a.requestsPerSecond} requests/s`, `${b.requestsPerSecond} requests/s`),
    ...differs('connections', String(a.connections ?? ''), String(b.connections ?? '')),
    ...differs('location', `${a.latitude}, ${a.longitude}`, `${b.latitude}, ${b.longitude}`),
    ...differs('addresses', Object.values(a.vips).join(' '), Object.values(b.vips).join(' ')),
    ...differs('backbone', legs(a), legs(b)),
  ];
}

function serviceTexts(a: DesiredService, b: DesiredService, before: PlanState, after: PlanState): string[] {
  const ids = (state: PlanState, numbers: readonly number[] = []) =>
    numbers.map((pop) => state.pops[pop]!.id).join(', ');
  const candidates = (state: PlanState, service: DesiredService) =>
    ids(
      state,
      service.candidates.map(({ pop }) => pop),
    );
  const shares = (state: PlanState, { shares: list = [] }: DesiredService) =>
    list
      .map(({ pop, share: part, prefixes }) => {
        const clients = prefixes === undefined ? '' : ` of ${prefixes.length} prefixes`;
        return `${percent(part)} to ${ids(state, [pop])}${clients}`;
      })
      .join(', ');
  const overrides = (state: PlanState, { overrides: list = [] }: DesiredService) =>
    list.map(({ pops, prefixes, pin }) => `${some(prefixes)} to ${ids(state, pops)}${pin ? ' pinned' : ''}`).join(', ');
  const regions = (state: PlanState, { regions: list = [] }: DesiredService) =>
    list.map(({ only, prefixes }) => `${some(prefixes)} only ${ids(state, only)}`).join(', ');
  return [
    ...differs('PoPs', candidates(before, a), candidates(after, b)),
    ...differs('only', ids(before, a.only), ids(after, b.only)),
    ...differs('policy', a.policy, b.policy),
    ...differs('origin', a.origin, b.origin),
    ...differs('connection share', percent((a.k - 1) / 2), percent((b.k - 1) / 2)),
    ...differs('overrides', overrides(before, a), overrides(after, b)),
    ...differs('shares', shares(before, a), shares(after, b)),
    ...differs('regions', regions(before, a), regions(after, b)),
    ...differs('control', percent(a.controlShare ?? 0), percent(b.controlShare ?? 0)),
    ...differs('addresses an answer', String(a.answers), String(b.answers)),
    ...differs('when all are down', allDownText(a.allDown), allDownText(b.allDown)),
    ...differs('subnet', subnetText(a), subnetText(b)),
    ...ttlTexts(a, b),
  ];
}

/** A TTL moves nobody: it says how soon clients follow, and how often resolvers ask. */
function ttlTexts(a: DesiredService, b: DesiredService): string[] {
  const texts = differs('least TTL', `${a.ttlSecondsMin} s`, `${b.ttlSecondsMin} s`);
  const [from, to] = [a.ttlSecondsMax, b.ttlSecondsMax];
  if (from === to) return texts;
  const queries = from > 0 && to > 0 ? `; about ${times(from / to)} the queries` : '';
  return [...texts, `TTL: ${from} s → ${to} s: clients follow a move within that time${queries}`];
}

function times(factor: number): string {
  return `${factor >= 10 ? Math.round(factor) : Number(factor.toPrecision(2))} times`;
}

function some(prefixes: readonly string[]): string {
  return prefixes.length === 1 ? prefixes[0]! : `${prefixes.length} prefixes`;
}

function percent(part: number): string {
  return `${Number((100 * part).toFixed(2))}%`;
}

function allDownText(rule: AllDown): string {
  if (rule.rule !== 'fallback') return rule.rule;
  return `fallback ${rule.addresses.map(({ address }) => address).join(' ')}`;
}

function subnetText({ ignoreSubnet }: DesiredService): string {
  return ignoreSubnet === true ? 'ignored' : 'used';
}
