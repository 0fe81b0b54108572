/** For tests: a configuration, objects from YAML text, and a reconciler on a clock that stands still. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DesiredState, decodeDesired } from '@ufes/core/desired.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { type LoadedConfig, loadConfig } from '@ufes/io/config-file.ts';
import { unseal } from '@ufes/io/envelope.ts';
import { ensureInternalCa, type InternalCa } from '@ufes/io/internal-ca.ts';
import { ensureSigningKeys } from '@ufes/io/keys.ts';
import { Registry } from '@ufes/io/metrics.ts';
import { type TestContext, testContext } from '@ufes/io/testing.ts';
import { parseDocuments } from './documents.ts';
import { createMetrics } from './metrics.ts';
import { noObjects, type ObjectSet } from './objects.ts';
import { createReconciler, type Reconciler } from './reconcile.ts';
import { StateFile } from './state.ts';
import { createStatusFiles, type IngressStatus, type StatusFiles } from './status.ts';

export const configText = `state: state
pops:
  lon: { location: [51.5, -0.1], vips: { v4: 192.0.2.1 }, pool: 192.0.2.16/28 }
  iad: { location: [38.9, -77.4], vips: { v4: 198.51.100.1 }, pool: 198.51.100.16/28 }
origins:
  eu: { location: [50.1, 8.7], endpoints: ["http://192.0.2.130:80"] }
zones:
  shop.example:
    soa: { primary: ns1.shop.example, contact: hostmaster.shop.example, minimum: 5 }
    ns: [ns1.shop.example]
    records: [{ name: ns1, type: A, data: 192.0.2.53 }]
services:
  shop: { name: www.shop.example, pops: [lon, iad], only: [iad], origin: eu, ttl: { max: 30 } }
probes: { zone: probe.shop.example }
kubernetes: { objects: objects, status: status, originLocation: [50, 8], ttl: { min: 5, max: 20 } }
`;

export async function configFrom(folder: string, text = configText): Promise<LoadedConfig> {
  const path = join(folder, 'ufes.yaml');
  await writeFile(path, text);
  return loadConfig(path);
}

export interface IngressParts {
  readonly name?: string;
  readonly className?: string;
  readonly host?: string;
  readonly service?: string;
  readonly port?: string;
  readonly path?: string;
  readonly created?: string;
  readonly more?: string;
}

export function ingressText(parts: IngressParts = {}): string {
  const { name = 'web', className = 'ufes', host = 'app.shop.example', service = 'web', port = 'number: 80' } = parts;
  const created = parts.created === undefined ? '' : `, creationTimestamp: "${parts.created}"`;
  return `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { namespace: shop, name: ${name}${created} }
spec:
  ingressClassName: ${className}
  rules:
    - host: "${host}"
      http:
        paths:
          - { path: "${parts.path ?? '/'}", pathType: Prefix, backend: { service: { name: ${service}, port: { ${port} } } } }
${parts.more ?? ''}`;
}

export const serviceText = `apiVersion: v1
kind: Service
metadata: { namespace: shop, name: web }
spec: { ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { namespace: shop, name: web-1, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints:
  - { addresses: [192.0.2.201], conditions: { ready: true } }
  - { addresses: [192.0.2.202], conditions: { ready: null } }
`;

/** Documents as a source would give them, all from one good file. */
export function objectsFrom(...documents: readonly string[]): ObjectSet {
  const { found, problems } = parseDocuments(documents.join('\n---\n'), 'objects.yaml');
  const sets = {
    Ingress: new Map(),
    IngressClass: new Map(),
    Service: new Map(),
    EndpointSlice: new Map(),
    Secret: new Map(),
  };
  for (const { kind, key, object } of found) sets[kind].set(key, { object, source: 'objects.yaml' });
  return { ...noObjects, ...sets, problems, isComplete: true };
}

export interface Bench {
  readonly clock: ManualClock;
  readonly context: TestContext;
  readonly reconciler: Reconciler;
  objects: ObjectSet;
  loaded: LoadedConfig;
  readonly ca: InternalCa;
  /** One pass at the present time. */
  pass(): Promise<void>;
  /** Passes until nothing more happens at this time. */
  settle(): Promise<void>;
  desired(): Promise<DesiredState>;
  /** Makes nodes say that they have applied the newest desired state. */
  applied(...nodes: readonly string[]): Promise<void>;
  status(name: string): IngressStatus | undefined;
  /** As after a crash: everything from disk. */
  restart(): Promise<Bench>;
  dispose(): Promise<void>;
}

export async function bench(given: { folder?: string; clock?: ManualClock; objects: ObjectSet }): Promise<Bench> {
  const folder = given.folder ?? (await mkdtemp(join(tmpdir(), 'ufes-controller-')));
  const clock = given.clock ?? new ManualClock();
  const loaded = await configFrom(folder);
  const state = join(folder, 'state');
  const context = await testContext({ config: loaded.config, node: 'controller', state, clock });
  const stateFile = new StateFile(state);
  await stateFile.load(context.log);
  const ca = await ensureInternalCa(state, () => clock.nowMs());
  const statusFiles: StatusFiles = createStatusFiles(join(folder, 'status'), clock, context.log);
  await statusFiles.load();
  const self: Bench = {
    clock,
    context,
    ca,
    loaded,
    objects: given.objects,
    reconciler: createReconciler({
      context,
      loaded: () => self.loaded,
      objects: () => self.objects,
      state: stateFile,
      ca,
      statusFiles: () => statusFiles,
      metrics: createMetrics(new Registry()),
    }),
    pass: () => self.reconciler.wake(),
    async settle() {
      for (let i = 0; i < 4; i++) await self.pass();
    },
    async desired() {
      const version = (await context.store.artefacts.newestVersion('desired'))!;
      const sealed = (await context.store.artefacts.get('desired', version))!;
      const { publicKey } = ensureSigningKeys(join(state, 'keys'));
      return decodeDesired(unseal('desired', sealed, publicKey).payload);
    },
    async applied(...nodes) {
      const version = (await context.store.artefacts.newestVersion('desired'))!;
      const value = { version: `${version.ms}-${version.writer}` };
      await context.store.live.put(nodes.map((node) => ({ key: `applied/${node}/desired`, value, ttlMs: 3_600_000 })));
    },
    status: (name) => statusFiles.current().find(({ metadata }) => metadata.name === name),
    async restart() {
      await self.reconciler.stop();
      await context.dispose();
      return bench({ folder, clock, objects: self.objects });
    },
    async dispose() {
      await self.reconciler.stop();
      await context.dispose();
      await rm(folder, { recursive: true });
    },
  };
  await self.reconciler.start();
  return self;
}
