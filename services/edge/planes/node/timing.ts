/**
 * Where a request's time went: one clock for the Server-Timing header, the histograms and the log.
 *
 *     accept ─ tls ─▶ request ─ queue ─▶ sent to the origin ─ origin ─▶ response headers
 *                       │◀───────────────── total ────────────────────────▶│
 *
 * `tls` is the connection's handshake, charged to its first request; 0 later. `queue` ends when a connection of the pool
 * has the request, connecting included.
 */
export interface Timing {
  tlsMs: number;
  queueMs: number;
  originMs: number;
  totalMs: number;
}

export const phases = ['tls', 'queue', 'origin', 'total'] as const;

/** Value of Server-Timing. `path` names how the origin was reached, e.g. `direct:eu`; absent: the edge answered. */
export function serverTiming(pop: string, timing: Timing, path?: string): string {
  const named = path === undefined ? '' : `, path;desc="${path.replaceAll(/["\\]/g, '')}"`;
  const origin = path === undefined ? '' : `, origin;dur=${round(timing.originMs)}`;
  const { tlsMs, queueMs, totalMs } = timing;
  return `tls;dur=${round(tlsMs)}, queue;dur=${round(queueMs)}${named}${origin}, total;dur=${round(totalMs)}, pop;desc="${pop}"`;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
