/**
 * What a configuration would do, on the mapper's admin socket.
 *
 *     POST /plan  {desired?: PlanState, drained?: string[], opened?: string[], file?, by?}     Forecast (forecast.ts)
 *
 * Without `desired` the configuration in service stands. Takes as long as a build; for that time nothing else is built.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { PlanState } from '@ufes/core/steering/plan-input.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Running } from './evidence-api.ts';

type Body = Readonly<Record<string, unknown>>;

export function registerForecastApi({ admin }: Pick<ServiceContext, 'admin'>, running: Running): void {
  admin.post<{ Body: Body }>('/plan', async ({ body }) => {
    const { builder, forecasts } = running;
    if (builder?.current === undefined || forecasts === undefined) {
      throw new OperatingError('NOT_RUNNING', 'the mapper has no desired state yet; is the controller running?');
    }
    const { desired: proposed, drained, opened, file, by } = body ?? {};
    const desired = proposed === undefined ? builder.current.desired : stateOf(proposed);
    const ids = desired.pops.map(({ id }) => id);
    return forecasts.ask(builder.current, {
      desired,
      drained: popsOf('drained', drained, ids),
      opened: popsOf('opened', opened, ids),
      file: textOf(file) ?? 'configuration in service',
      by: textOf(by) ?? 'admin socket',
    });
  });
}

/** As the controller compiles it; what is checked here is that it is one at all. */
function stateOf(value: unknown): PlanState {
  const state = value as Partial<PlanState> | null;
  const isList = (one: unknown) => Array.isArray(one) && one.every((item) => typeof item === 'object' && item !== null);
  const isRight =
    typeof state === 'object' &&
    state !== null &&
    isList(state.pops) &&
    isList(state.origins) &&
    isList(state.services) &&
    Array.isArray(state.probe?.sources) &&
    state.pops!.length <= limits.config.pops &&
    state.services!.every(({ candidates }) => isList(candidates) && candidates.every(({ pop }) => state.pops![pop]));
  if (isRight) return state as PlanState;
  throw new OperatingError('REQUEST_INVALID', '"desired" must be a state as POST /plan of the controller gives it');
}

function popsOf(key: string, value: unknown, ids: readonly string[]): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new OperatingError('REQUEST_INVALID', `"${key}" must be a list of PoPs`);
  const unknown = value.find((id) => !ids.includes(id as string));
  if (unknown === undefined) return value as string[];
  throw new OperatingError('NOT_FOUND', `no PoP ${String(unknown)}; there are: ${ids.join(', ')}`);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.slice(0, limits.health.reasonChars) : undefined;
}
