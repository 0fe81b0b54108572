/**
 * Status files: STATUS/NAMESPACE-NAME.json for every Ingress that we have something to say about, in the form of the
 * object's own status. Written whole, only when something changed; removed with the object.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@ufes/core/ports.ts';
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
  /** Makes the folder hold exactly these. Rejects when it cannot be written. */
  write(verdicts: readonly IngressVerdict[], phases: ReadonlyMap<string, HostPhase>): Promise<void>;
  current(): IngressStatus[];
}

export function createStatusFiles(folder: string, clock: Clock): StatusFiles {
  /** By file name. */
  const written = new Map<string, IngressStatus>();

  return {
    current: () => [...written.values()],
    async load() {
      await mkdir(folder, { recursive: true });
      for (const file of await readdir(folder)) {
        if (!file.endsWith('.json')) continue;
        try {
          const status = JSON.parse(await readFile(join(folder, file), 'utf8')) as IngressStatus;
          if (status.controller === controllerName && Array.isArray(status.status.conditions))
            written.set(file, status);
        } catch {
          // Not ours, or half of something: left alone, and overwritten when it is in the way.
        }
      }
    },
    async write(verdicts, phases) {
      const names = new Set<string>();
      const sorted = [...verdicts].sort((a, b) => (a.key < b.key ? -1 : 1));
      for (const verdict of sorted) {
        const file = fileName(verdict.key, names);
        names.add(file);
        const status = statusOf(verdict, phases, written.get(file), clock.nowMs());
        if (JSON.stringify(status) === JSON.stringify(written.get(file))) continue;
        await mkdir(folder, { recursive: true });
        const path = join(folder, file);
        await writeFile(`${path}.new`, `${JSON.stringify(status, null, 2)}\n`);
        await rename(`${path}.new`, path);
        written.set(file, status);
      }
      for (const file of [...written.keys()]) {
        if (names.has(file)) continue;
        await rm(join(folder, file), { force: true });
        written.delete(file);
      }
    },
  };
}

/** Two Ingresses may share NAMESPACE-NAME (a/b-c, a-b/c); the later one has "_", which no name contains. */
function fileName(key: string, taken: ReadonlySet<string>): string {
  const plain = `${key.replace('/', '-')}.json`;
  return taken.has(plain) ? `${key.replace('/', '_')}.json` : plain;
}
