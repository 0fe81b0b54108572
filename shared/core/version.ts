/**
 * A version of an artefact: (milliseconds, writer). Versions are ordered by milliseconds, then writer.
 * The next one is max(wall clock, last seen + 1), so that a store that comes back older than it was never reuses one.
 * Text form, used in file names, logs and metrics: `1764000000000-a1b2c3`.
 */
export interface Version {
  readonly ms: number;
  readonly writer: string;
}

export function nextVersion(wallMs: number, lastSeen: Version | undefined, writer: string): Version {
  return { ms: Math.max(Math.floor(wallMs), (lastSeen?.ms ?? 0) + 1), writer };
}

export function compareVersions(a: Version, b: Version): number {
  if (a.ms !== b.ms) return a.ms - b.ms;
  return a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : 0;
}

export function formatVersion(version: Version): string {
  return `${version.ms}-${version.writer}`;
}

/** The version written in `text`, or undefined when it is none. */
export function parseVersion(text: string): Version | undefined {
  const match = /^(\d{1,15})-([a-z0-9]{1,16})$/.exec(text);
  return match ? { ms: Number(match[1]), writer: match[2]! } : undefined;
}
