/** What to say and do when an address cannot be bound. */
import { OperatingError } from '@ufes/core/errors.ts';

export function bindError(label: string, cause: unknown): OperatingError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (code === 'EADDRINUSE') {
    return new OperatingError(
      'ADDRESS_IN_USE',
      `cannot listen on ${label}: another process has it; stop that one, or give another address in listeners.dns`,
      { cause },
    );
  }
  const why =
    code === 'EADDRNOTAVAIL'
      ? 'no interface of this machine has the address'
      : code === 'EACCES'
        ? 'ports below 1024 need root or CAP_NET_BIND_SERVICE'
        : 'the system refused it';
  return new OperatingError('ADDRESS_UNAVAILABLE', `cannot listen on ${label}: ${why}; see listeners.dns`, { cause });
}
