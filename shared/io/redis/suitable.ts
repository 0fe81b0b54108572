/** Whether a Redis is one that ufes may keep its state in, by what INFO says of it. */

/** Fields of INFO by name. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

export interface Suitability {
  /** It must not be used, as long as this holds. `mend`: what to do. */
  readonly refusal?: string;
  /** It is a replica, or still reading its data: another one is asked, or it is asked again. */
  readonly isPassing?: boolean;
  /** It may be used, but data may be lost. */
  readonly warnings: readonly string[];
}

export function judgeInfo(info: ReadonlyMap<string, string>): Suitability {
  const warnings: string[] = [];
  const version = info.get('redis_version') ?? '?';
  if (Number(version.split('.')[0]) < 7) {
    return { refusal: `is Redis ${version}; ufes needs Redis 7 or later`, warnings };
  }
  if (info.get('loading') === '1') return { refusal: 'still reads its data from disk', isPassing: true, warnings };
  if (info.get('role') === 'slave') {
    const why = 'is a read-only replica: give ufes the address of its master, or of Sentinels (redis+sentinel://)';
    return { refusal: why, isPassing: true, warnings };
  }
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction') {
    const why = `throws data away when it is full (maxmemory-policy ${policy}): set "maxmemory-policy noeviction" in redis.conf, or CONFIG SET maxmemory-policy noeviction`;
    return { refusal: why, warnings };
  }
  if (info.get('aof_enabled') === '0') {
    warnings.push(
      'keeps no append-only file: what it holds since its last snapshot is lost when it ends. Set "appendonly yes" in redis.conf, or CONFIG SET appendonly yes',
    );
  }
  if (info.get('aof_last_write_status') === 'err') {
    warnings.push('could not write its append-only file: see its log, and make room on its disk');
  }
  return { warnings };
}
