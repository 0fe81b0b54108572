/** GET /quarantine?limit=N: what was measured and does not count (HeldApart, core/quarantine.ts). */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import { DoubtsReader } from './doubts.ts';
import type { Running } from './evidence-api.ts';

export function registerDoubtsApi({ admin, clock }: Pick<ServiceContext, 'admin' | 'clock'>, running: Running): void {
  const reader = new DoubtsReader(clock);
  admin.get('/quarantine', ({ query }) => {
    const limit = Number((query as Readonly<Record<string, string>>)['limit'] ?? 100);
    if (!(Number.isInteger(limit) && limit >= 0 && limit <= limits.mapper.doubtsShown)) {
      throw new OperatingError('REQUEST_INVALID', `limit: a whole number up to ${limits.mapper.doubtsShown}`);
    }
    const { builder, folder } = running;
    if (folder === undefined || builder?.current === undefined) {
      throw new OperatingError('NOT_RUNNING', 'the mapper has no desired state yet; is the controller running?');
    }
    return reader.report(builder.current, folder, limit);
  });
}
