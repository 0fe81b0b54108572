/** The rules that names of a group have: overrides, shares, the control arm. What they come to is in rules.ts. */
import type { DesiredService } from '../desired.ts';

/** Names of a group whose rules are the same. */
export interface Ruling {
  /** One of them; what does not decide where clients go is left out. */
  readonly service: DesiredService;
  /** Of the names of the group, 0 to 1. */
  readonly share: number;
}

/** `pops`: ids by the numbers that the services use. */
export interface RulingPlan {
  readonly pops: readonly string[];
  readonly rulings: readonly Ruling[];
}

/** What of all names the rulings say counts to a twentieth: one name more among many is no news. */
const grain = 20;
/** Beyond, those of the fewest names go by rankings alone. */
const rulingsMax = 16;

/** Of the services of one group; undefined: rankings decide for all. */
export function rulingPlanOf(
  services: readonly DesiredService[],
  pops: readonly { readonly id: string }[],
): RulingPlan | undefined {
  const alike = new Map<string, { service: DesiredService; names: number }>();
  for (const service of services) {
    if (!hasRules(service)) continue;
    const ruled = ruledOf(service);
    const text = JSON.stringify(ruled);
    const known = alike.get(text);
    if (known === undefined) alike.set(text, { service: ruled, names: 1 });
    else known.names++;
  }
  const rulings = [...alike.values()]
    .map(({ service, names }) => ({ service, share: Math.round((grain * names) / services.length) / grain }))
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share)
    .slice(0, rulingsMax);
  return rulings.length === 0 ? undefined : { pops: pops.map(({ id }) => id), rulings };
}

function hasRules({ overrides = [], shares = [], controlShare = 0 }: DesiredService): boolean {
  return overrides.length > 0 || shares.length > 0 || controlShare > 0;
}

function ruledOf({ id, policy, candidates, only, origin, k, ...of }: DesiredService): DesiredService {
  const { ignoreSubnet, overrides = [], shares = [], regions = [], controlShare } = of;
  return {
    // Shares are dealt by it.
    id: shares.length > 0 ? id : '',
    ...{ name: '', owner: '', answered: true, policy, candidates, origin, k, answers: 1 },
    ...{ ttlSecondsMin: 0, ttlSecondsMax: 0, allDown: { rule: 'nodata' } },
    ...(only && { only }),
    ...(ignoreSubnet && { ignoreSubnet }),
    ...(overrides.length > 0 && { overrides }),
    ...(shares.length > 0 && { shares }),
    ...(regions.length > 0 && { regions }),
    ...(controlShare && { controlShare }),
  };
}
