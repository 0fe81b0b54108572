/**
 * What a proposed configuration comes to, compiled beside the objects that there are, on the controller's admin socket.
 *
 *     POST /plan  {config: Config, zones: DesiredZone[]}     PlanState (core/steering/plan.ts)
 *
 * The command has read and checked the files; certificates and records decide nothing and are left out.
 */
import { type Config, configSchema } from '@ufes/core/config/schema.ts';
import { schemaProblems } from '@ufes/core/config/validate.ts';
import type { DesiredZone } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import type { PlanState } from '@ufes/core/steering/plan-input.ts';
import type { Reconciler } from './reconcile.ts';

export function preview(reconciler: Pick<Reconciler, 'preview'>, body: unknown): PlanState {
  const { config, zones } = (body ?? {}) as { config?: unknown; zones?: unknown };
  if (!Array.isArray(zones)) throw new OperatingError('REQUEST_INVALID', '"zones" must be the compiled zones');
  const [problem] = schemaProblems(configSchema, config);
  if (problem !== undefined) {
    throw new OperatingError('REQUEST_INVALID', `"config": ${problem.path.join('.')}: ${problem.message}`);
  }
  const content = reconciler.preview({
    config: config as Config,
    zones: zones as DesiredZone[],
    certificates: {},
  });
  const { pops, origins, services, probe, room } = content;
  return {
    pops,
    origins,
    services,
    probe,
    ...(room && { room }),
    zones: content.zones.map(({ origin }) => ({ origin })),
  };
}
