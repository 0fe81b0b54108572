/**
 * Update by file swap: looks at the source files every few seconds, compiles a new edition in a thread beside the one
 * in service, and hands it over. A new file that is bad is logged, and the old edition stays. A file is taken once two
 * looks in a row found it the same, so that one that is still being copied is left alone.
 */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component } from '@ufes/core/ports.ts';
import { keptFile } from './file.ts';
import { type Geoip, type GeoipOptions, geoipOf } from './geoip.ts';
import { keptOrCompiled } from './keep.ts';
import { findSources, type Sources } from './sources.ts';

/**
 * `current` is the edition in service; without it, the one that the source files hold at `start` is taken to be.
 * `onSwap` is called once for each new edition.
 */
export function watchGeoip(
  options: GeoipOptions,
  clock: Clock,
  onSwap: (geoip: Geoip) => void,
  current?: Pick<Geoip, 'key'>,
): Component {
  let inService = current?.key;
  /** What the last look found, until it is in service or found bad. */
  let seen = inService;
  let bad: string | undefined;
  let complaint = '';
  let busy: Promise<void> | undefined;
  let stopLooking = () => {};
  const ending = new AbortController();

  const complain = (thrown: unknown): void => {
    const error = describeError(thrown);
    if (error !== complaint && !ending.signal.aborted) {
      options.log.error({ error }, 'new GeoIP data cannot be used; the old edition stays in service');
    }
    complaint = error;
  };

  async function look(): Promise<void> {
    let sources: Sources;
    try {
      sources = await findSources(options);
    } catch (thrown) {
      seen = undefined;
      complain(thrown);
      return;
    }
    const settled = sources.key === seen;
    seen = sources.key;
    if (!settled || sources.key === inService || sources.key === bad) return;
    try {
      const compiled = await keptOrCompiled(sources, keptFile(options.state), { ...options, signal: ending.signal });
      const geoip = geoipOf(compiled);
      if (ending.signal.aborted) return;
      inService = geoip.key;
      complaint = '';
      options.log.info({ geoip: geoip.label }, 'swapped to new GeoIP data');
      onSwap(geoip);
    } catch (thrown) {
      // Bad contents stay bad until the file changes; a full disk may not.
      if (thrown instanceof OperatingError) bad = sources.key;
      complain(thrown);
    }
  }

  return {
    start: async () => {
      if (inService === undefined) {
        inService = await findSources(options).then(
          ({ key }) => key,
          () => undefined,
        );
        seen = inService;
      }
      stopLooking = clock.every(limits.geoip.pollMs, () => {
        busy ??= look().finally(() => {
          busy = undefined;
        });
      });
    },
    stop: async () => {
      stopLooking();
      ending.abort();
      await busy;
    },
  };
}
