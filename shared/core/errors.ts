/**
 * Operating errors: things that go wrong while everything works as designed (a bad file, a port in use, a peer gone).
 * Each has a code from the one table below, a source, and whether trying again can help. A programming error is an
 * assertion instead and ends the process.
 */

/** Who has to act: the one who sent us something, ourselves, or a thing we depend on. */
export type ErrorSource = 'client' | 'internal' | 'upstream';

/** code → [source, can a retry help]. One line an error; the message is written where it is raised. */
export const errorTable = {
  CONFIG_INVALID: ['client', false],
  CONFIG_UNREADABLE: ['client', false],
  ZONE_INVALID: ['client', false],
  GEOIP_UNREADABLE: ['client', false],
  GEOIP_CORRUPT: ['client', false],
  CERTIFICATE_INVALID: ['client', false],
  OBJECT_INVALID: ['client', false],
  ADDRESS_IN_USE: ['client', false],
  ADDRESS_UNAVAILABLE: ['client', false],
  TOKEN_INVALID: ['client', false],
  REQUEST_INVALID: ['client', false],
  BODY_TOO_LARGE: ['client', false],
  TOO_MANY: ['client', true],
  ARTEFACT_CORRUPT: ['internal', false],
  ARTEFACT_STALE: ['internal', false],
  SECRET_UNREADABLE: ['internal', false],
  STORE_UNAVAILABLE: ['upstream', true],
  STORE_UNSUITABLE: ['client', false],
  QUEUE_FULL: ['internal', true],
  JOURNAL_FAILED: ['internal', true],
  SEQUENCE_GAP: ['internal', true],
  NOT_RUNNING: ['client', true],
  NOT_FOUND: ['client', false],
  POOL_EXHAUSTED: ['client', false],
} as const satisfies Record<string, readonly [ErrorSource, boolean]>;

export type ErrorCode = keyof typeof errorTable;

export class OperatingError extends Error {
  readonly code: ErrorCode;
  readonly source: ErrorSource;
  readonly retry: boolean;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'OperatingError';
    this.code = code;
    [this.source, this.retry] = errorTable[code];
  }
}

/** The message of anything that was thrown, with its causes: `what: why: why`. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  for (
    let at: unknown = thrown;
    at !== undefined && parts.length < 5;
    at = at instanceof Error ? at.cause : undefined
  ) {
    parts.push(at instanceof Error ? at.message : String(at));
  }
  return parts.join(': ');
}
