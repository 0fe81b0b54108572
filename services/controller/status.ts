/**
 * Status files: STATUS/NAMESPACE-NAME.json for every Ingress that we have something to say about, in the form of the
 * object's own status. Written whole, only when something changed; removed with the object.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isPlainObject } from '@ufes/core/config/defaults.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { readBoundedFile } from '@ufes/io/bounded-file.ts';
import type { IngressVerdict } from './ingress.ts';
import { controllerName } from './ingress-class.ts';
import type { Objection } from './ingress-tls.ts';
import type { HostPhase } from './order.ts';

export interface Condition {
  readonly type: 'Accepted' | 'ResolvedRefs' | 'Programmed';
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

export interface IngressStatus {
  readonly apiVersion: 'networking.k8s.io/v1';
  readonly kind: 'Ingress';
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly controller: typeof controllerName;
  readonly status: {
    readonly loadBalancer: { readonly ingress: readonly { readonly ip: string }[] };
    readonly conditions: readonly Condition[];
  };
  readonly hosts: readonly {
    readonly host: string;
    readonly state: string;
    readonly addresses: readonly string[];
  }[];
}

type Bare = Omit<Condition, 'lastTransitionTime'>;

/** `phases`: of the hosts that this Ingress holds now. */
function statusOf(
  verdict: IngressVerdict,
  phases: ReadonlyMap<string, HostPhase>,
  before: IngressStatus | undefined,
  nowMs: number,
): IngressStatus {
  const [namespace, name] = verdict.key.split('/') as [string, string];
  const own = verdict.hosts.flatMap((host) => {
    const phase = phases.get(host);
    return phase?.programme.owner === verdict.key ? [phase] : [];
  });
  const hosts = own.map((phase) => ({
    host: phase.programme.host,
    state: phase.state,
    addresses: phase.state === 'live' ? addressesOf(phase) : [],
  }));
  const ips = [...new Set(hosts.flatMap(({ addresses }) => addresses))].sort();
  const conditions = conditionsOf(verdict, own).map((condition): Condition => {
    const old = before?.status.conditions.find(({ type }) => type === condition.type);
    const isSame = old !== undefined && old.status === condition.status;
    return { ...condition, lastTransitionTime: isSame ? old.lastTransitionTime : new Date(nowMs).toISOString() };
  });
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { namespace, name },
    controller: controllerName,
    status: { loadBalancer: { ingress: ips.map((ip) => ({ ip })) }, conditions },
    hosts,
  };
}

function addressesOf(phase: HostPhase): string[] {
  return Object.values(phase.pops)
    .filter(({ isApplied }) => isApplied)
    .map(({ address }) => address)
    .sort();
}

function conditionsOf({ objections, hosts }: IngressVerdict, phases: readonly HostPhase[]): Bare[] {
  const accepted = objectionsOf(objections, 'Accepted');
  const resolved = objectionsOf(objections, 'ResolvedRefs');
  const conditions: Bare[] = [accepted ?? { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' }];
  if (hosts.length > 0) {
    conditions.push(resolved ?? { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: '' });
  } else if (resolved !== undefined) conditions.push(resolved);
  return [...conditions, programmed(hosts, phases, objectionsOf(objections, 'Programmed'))];
}

function objectionsOf(objections: readonly Objection[], type: Objection['condition']): Bare | undefined {
  const own = objections.filter(({ condition }) => condition === type);
  if (own.length === 0) return undefined;
  return { type, status: 'False', reason: own[0]!.reason, message: own.map(({ message }) => message).join('; ') };
}

function programmed(hosts: readonly string[], phases: readonly HostPhase[], objected: Bare | undefined): Bare {
  const type = 'Programmed';
  if (objected !== undefined) return objected;
  if (hosts.length === 0)
    return { type, status: 'False', reason: 'NotAccepted', message: 'no host of it can be served' };
  const waiting = hosts.filter((host) => phases.find(({ programme }) => programme.host === host)?.state !== 'live');
  if (waiting.length === 0) return { type, status: 'True', reason: 'Programmed', message: '' };
  return { type, status: 'False', reason: 'Pending', message: `not yet in service: ${waiting.join(', ')}` };
}

export interface StatusFiles {
  /** What earlier runs wrote. */
  load(): Promise<void>;
  /**
   * Makes the folder hold exactly these. What stands against one file is logged, and all others are written; rejects when
   * that is so of every one.
   */
  write(verdicts: readonly IngressVerdict[], phases: ReadonlyMap<string, HostPhase>): Promise<void>;
  /** Removes every file that we wrote, and writes none from now on. */
  clear(): Promise<void>;
  current(): IngressStatus[];
}

export function createStatusFiles(folder: string, clock: Clock, log: Log): StatusFiles {
  /** By file name. */
  const written = new Map<string, IngressStatus>();
  /** Why a file could not be written or removed, while that lasts. */
  const failures = new Map<string, string>();
  let isCleared = false;
  let turn: Promise<void> = Promise.resolve();

  /** False, and a line in the log, when it did not work. */
  const attempt = async (file: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      failures.delete(file);
      return true;
    } catch (thrown) {
      const why = describeError(thrown);
      if (failures.get(file) !== why) log.error({ file: join(folder, file) }, `status file: ${why}`);
      failures.set(file, why);
      return false;
    }
  };

  const remove = (file: string) =>
    attempt(file, async () => {
      await rm(join(folder, file), { force: true });
      written.delete(file);
    });

  const put = (file: string, status: IngressStatus) =>
    attempt(file, async () => {
      const path = join(folder, file);
      await writeFile(`${path}${aside}`, `${JSON.stringify(status, null, 2)}\n`);
      await rename(`${path}${aside}`, path);
      written.set(file, status);
    });

  const writeAll: StatusFiles['write'] = async (verdicts, phases) => {
    if (isCleared) return;
    const names = new Set<string>();
    let isThere = false;
    for (const verdict of [...verdicts].sort((a, b) => (a.key < b.key ? -1 : 1))) {
      const file = fileName(verdict.key, names);
      names.add(file);
      const status = statusOf(verdict, phases, written.get(file), clock.nowMs());
      if (JSON.stringify(status) === JSON.stringify(written.get(file))) continue;
      if (!isThere) await mkdir(folder, { recursive: true });
      isThere = true;
      await put(file, status);
    }
    for (const file of [...written.keys()]) if (!names.has(file)) await remove(file);
    for (const file of [...failures.keys()]) if (!names.has(file) && !written.has(file)) failures.delete(file);
    if (names.size > 0 && [...names].every((file) => failures.has(file))) {
      throw new OperatingError('STORE_UNAVAILABLE', `no status file can be written in ${folder}`);
    }
  };

  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work);
    turn = done.catch(() => {});
    return done;
  };

  return {
    current: () => [...written.values()],
    async load() {
      await mkdir(folder, { recursive: true });
      for (const file of await readdir(folder)) {
        if (!file.endsWith('.json')) continue;
        try {
          const status: unknown = JSON.parse(
            new TextDecoder().decode(await readBoundedFile(join(folder, file), limits.controller.objectBytes)),
          );
          if (isOurs(status)) written.set(file, status);
        } catch {
          // Not ours, or half of something: left alone, and overwritten when it is in the way.
        }
      }
    },
    write: (verdicts, phases) => inTurn(() => writeAll(verdicts, phases)),
    clear: () =>
      inTurn(async () => {
        isCleared = true;
        for (const file of [...written.keys()]) await remove(file);
      }),
  };
}

function isOurs(value: unknown): value is IngressStatus {
  if (!isPlainObject(value) || value['controller'] !== controllerName || !isPlainObject(value['status'])) return false;
  const { conditions } = value['status'];
  return Array.isArray(conditions) && conditions.every(isPlainObject);
}

const aside = '.new';
/** Of a name in most file systems. */
const nameBytesMax = 255;

/**
 * Two Ingresses may share NAMESPACE-NAME (a/b-c, a-b/c); the later one has "_", which no name contains. One that is too
 * long for a file system is cut, and has "_" and a hash of all of it.
 */
function fileName(key: string, taken: ReadonlySet<string>): string {
  const plain = `${key.replace('/', '-')}.json`;
  const name = taken.has(plain) ? `${key.replace('/', '_')}.json` : plain;
  if (Buffer.byteLength(name) + aside.length <= nameBytesMax) return name;
  const hash = createHash('sha256').update(key).digest('hex').slice(0, 32);
  return `${plain.slice(0, 200)}_${hash}.json`;
}
