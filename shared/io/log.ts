/** Structured logs by pino, one JSON line an event, to stderr. `level` from the caller; tests pass `silent`. */
import type { Log } from '@ufes/core/ports.ts';
import { destination, type Logger, pino } from 'pino';

export function createLog(fields: object, level: string): Log {
  const stderr = destination({ dest: 2, sync: true });
  // A full disk or a closed terminal loses lines, not the service.
  stderr.on('error', () => {});
  return wrap(pino({ level, base: fields, timestamp: pino.stdTimeFunctions.isoTime }, stderr));
}

function wrap(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}

export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};

/** Passes at most one message per `key` and `everyMs`, with the count of those it held back. For network errors. */
export function rateLimited(
  everyMs: number,
  nowMs: () => number,
): (key: string, emit: (suppressed: number) => void) => void {
  const seen = new Map<string, { atMs: number; suppressed: number }>();
  return (key, emit) => {
    const last = seen.get(key);
    const now = nowMs();
    if (last !== undefined && now - last.atMs < everyMs) {
      last.suppressed++;
      return;
    }
    if (seen.size > 1000) seen.clear();
    seen.set(key, { atMs: now, suppressed: 0 });
    emit(last?.suppressed ?? 0);
  };
}
