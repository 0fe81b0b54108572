/** What a collector tells of an agent: GET /agents of probe, `ufes probe agents`. */
export interface AgentReport {
  readonly name: string;
  readonly prefixes: readonly string[];
  readonly createdAtMs: number;
  readonly by: string;
  /** By this collector, since it started. */
  readonly reports: number;
  readonly lastSeenMs?: number;
  readonly lastPrefix?: string;
}
