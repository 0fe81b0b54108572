/**
 * Why the edge answers by itself instead of an origin: code → [status, text]. The code is sent in `ufes-reason`, logged
 * and counted, so that an operator can tell one 503 from another.
 */
export const reasons = {
  'bad-request': [400, 'The request could not be parsed.'],
  'bad-path': [400, 'The path of the request is not acceptable.'],
  'bad-host': [400, 'The request names no host, several hosts, or none that could exist.'],
  'bad-header': [400, 'A header of the request is not acceptable.'],
  'no-host': [404, 'No such host here.'],
  'no-path': [404, 'No route for this path.'],
  'request-timeout': [408, 'The request did not arrive in time.'],
  misdirected: [421, 'This host is served on another connection.'],
  'headers-too-large': [431, 'The headers of the request are too many or too long.'],
  'backend-missing': [500, 'The route has no backend.'],
  internal: [500, 'The edge failed.'],
  'transfer-coding': [501, 'Only the chunked transfer coding is known.'],
  'method-unsupported': [501, 'The method is not supported.'],
  'upgrade-unsupported': [501, 'This upgrade is not supported.'],
  'origin-connect': [502, 'The origin could not be reached.'],
  'origin-reset': [502, 'The origin closed the connection before it answered.'],
  'origin-invalid': [502, 'The answer of the origin could not be understood.'],
  'no-endpoint': [503, 'No endpoint of the origin is ready.'],
  'origin-busy': [503, 'Too many requests wait for this origin.'],
  draining: [503, 'This node is being drained.'],
  'not-ready': [503, 'This node does not serve yet.'],
  'origin-timeout': [504, 'The origin did not answer in time.'],
} as const satisfies Record<string, readonly [number, string]>;

export type Reason = keyof typeof reasons;
