/** What a health check looks at, and what is well there. */
import type { SecureContext } from 'node:tls';

export interface CheckTarget {
  readonly id: string;
  readonly kind: 'tcp' | 'http' | 'https' | 'load';
  readonly address: string;
  readonly port: number;
  /** http, https; default `/`. */
  readonly path?: string;
  /** Host header, and SNI for https; default: the address. */
  readonly host?: string;
  /** http, https: statuses that are well; default: any 2xx. */
  readonly status?: readonly number[];
  /** http, https: text that the body must contain within its first bytes (limits.health.bodyBytes). */
  readonly body?: string;
  /**
   * https: whom to trust. Undefined result: not known yet, then the check says nothing. Absent: the system's CAs;
   * `anyone`: the certificate is not what is checked.
   */
  readonly trust?: 'anyone' | (() => SecureContext | undefined);
  /** load: percent of capacity that is well, and what it is; undefined: nobody said, then the check says nothing. */
  readonly percentMax?: number;
  readonly percent?: () => number | undefined;
}
