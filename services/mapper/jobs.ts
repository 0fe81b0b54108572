/**
 * Jobs that mappers do, whichever of them takes one.
 *
 *     build    a map is built from what is known now, or the reason why not is found with the dead job
 *     rollup   the current hour's row of response times is written anew (rollup.ts)
 */
import type { RollupHour } from '@ufes/core/dashboard.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { scheduledJob } from '@ufes/io/queue/scheduled.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { Builder } from './builder.ts';
import type { EvidenceTable } from './evidence.ts';
import { rolledUp, rollUp } from './rollup.ts';

const hourMs = 3_600_000;

/** GET /rollup?hours=168: rolled-up hours, oldest first. */
export function registerRollupApi({ admin, store, clock }: ServiceContext): void {
  admin.get<{ Querystring: Readonly<Record<string, string>> }>('/rollup', async ({ query }) => {
    const hours = Number(query['hours'] ?? 168);
    if (!(Number.isInteger(hours) && hours > 0 && hours * hourMs <= limits.mapper.rollupKeptMs)) {
      const most = limits.mapper.rollupKeptMs / hourMs;
      throw new OperatingError('REQUEST_INVALID', `hours: a whole number up to ${most} would be right`);
    }
    const found: RollupHour[] = await rolledUp(store.history, clock.nowMs() - hours * hourMs, hours);
    return { hours: found };
  });
}

export function mapperJobs(
  context: ServiceContext,
  builder: Pick<Builder, 'step' | 'failure' | 'publishes' | 'current'>,
  table: EvidenceTable,
): Component[] {
  const { store, bus, clock } = context;
  const build = async (): Promise<void> => {
    await builder.step();
    if (builder.failure !== undefined) throw new OperatingError('NOT_RUNNING', `no map built: ${builder.failure}`);
    // Another mapper publishes: it is the one to build.
    if (!builder.publishes) bus.wake('build');
  };
  const rollup = async (): Promise<void> => {
    // Without a desired state there are no PoPs to speak of; a later run of the same hour has them.
    if (builder.current !== undefined) await rollUp(builder.current, table, store.history, clock.nowMs());
  };
  return [
    scheduledJob(context, { name: 'build', id: 'maps', everyMs: limits.mapper.buildJobMs, run: build }),
    scheduledJob(context, { name: 'rollup', id: 'hour', everyMs: limits.mapper.rollupJobMs, run: rollup }),
  ];
}
