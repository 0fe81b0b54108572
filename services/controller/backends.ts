/** From an Ingress backend to the endpoints behind it: Service port → EndpointSlice port → ready addresses. Pure. */
import type { EndpointSlice, IngressBackend, ServiceObject } from '@ufes/core/config/objects.ts';
import { canonicalAddress } from '@ufes/core/config/pool.ts';
import { suggestion } from '@ufes/core/config/suggest.ts';
import type { DesiredOrigin } from '@ufes/core/desired.ts';
import type { ObjectSet } from './objects.ts';

export interface Resolved {
  /** Absent when the backend is missing: such a path answers 500. */
  readonly origin?: DesiredOrigin;
  readonly problem?: { readonly reason: string; readonly message: string };
}

export interface OriginPlace {
  readonly latitude?: number;
  readonly longitude?: number;
}

/** `namespace` is the Ingress's: a backend is always beside it. */
export function resolveBackend(
  backend: IngressBackend,
  namespace: string,
  objects: ObjectSet,
  place: OriginPlace,
): Resolved {
  const wanted = backend.service;
  if (wanted === undefined) {
    const found = backend.resource === undefined ? 'it has neither' : 'resource backends are not supported';
    return { problem: { reason: 'BackendNotSupported', message: `a backend is a service; ${found}` } };
  }
  const key = `${namespace}/${wanted.name}`;
  const service = objects.Service.get(key)?.object;
  if (service === undefined)
    return { problem: { reason: 'ServiceNotFound', message: noService(key, namespace, objects) } };
  if (service.spec.type === 'ExternalName') {
    const message = `Service ${key} is an ExternalName, which has no endpoints`;
    return { problem: { reason: 'BackendNotSupported', message } };
  }
  const port = portOf(service, wanted.port);
  if (port === undefined) {
    const ports = (service.spec.ports ?? []).map((one) => (one.name ? `${one.port} (${one.name})` : `${one.port}`));
    const asked = wanted.port.number ?? wanted.port.name ?? 'none';
    const message = `Service ${key} has no port ${asked}; it has ${ports.join(', ') || 'none'}`;
    return { problem: { reason: 'PortNotFound', message } };
  }
  const slices = slicesOf(objects, key);
  const endpoints = endpointsOf(slices, port);
  const origin: DesiredOrigin = { id: `${key}:${port.port}`, ...place, endpoints };
  if (endpoints.length > 0) return { origin };
  const why = slices.length === 0 ? 'no EndpointSlice belongs to it' : 'none of its endpoints is ready';
  return { origin, problem: { reason: 'NoEndpoints', message: `Service ${key} has no endpoint to send to: ${why}` } };
}

function noService(key: string, namespace: string, objects: ObjectSet): string {
  const names = [...objects.Service.keys()].filter((one) => one.startsWith(`${namespace}/`));
  const wrong = objects.problems.find((one) => one.kind === 'Service' && one.key === key);
  if (wrong !== undefined) return `Service ${key} is not valid (${wrong.source}:${wrong.line}: ${wrong.message})`;
  return `there is no Service ${key}${suggestion(key, names)}`;
}

type ServicePort = NonNullable<ServiceObject['spec']['ports']>[number];

function portOf(service: ServiceObject, wanted: { number?: number; name?: string }): ServicePort | undefined {
  return service.spec.ports?.find((one) =>
    wanted.number === undefined ? wanted.name !== undefined && one.name === wanted.name : one.port === wanted.number,
  );
}

/** Slices by `NAMESPACE/SERVICE`, once a set of objects: every backend asks. */
const indexes = new WeakMap<ObjectSet, ReadonlyMap<string, EndpointSlice[]>>();

function slicesOf(objects: ObjectSet, key: string): readonly EndpointSlice[] {
  const index = indexes.get(objects) ?? indexSlices(objects);
  indexes.set(objects, index);
  return index.get(key) ?? [];
}

function indexSlices(objects: ObjectSet): ReadonlyMap<string, EndpointSlice[]> {
  const index = new Map<string, EndpointSlice[]>();
  for (const { object } of objects.EndpointSlice.values()) {
    const service = object.metadata.labels?.['kubernetes.io/service-name'];
    if (service === undefined || object.addressType === 'FQDN') continue;
    const key = `${object.metadata.namespace ?? 'default'}/${service}`;
    const slices = index.get(key);
    if (slices === undefined) index.set(key, [object]);
    else slices.push(object);
  }
  return index;
}

/**
 * Ready endpoints of all slices (unknown counts as ready); if there are none, those that still serve while terminating.
 * A slice's port belongs to the Service port of the same name. Sorted, each address and port once.
 */
function endpointsOf(slices: readonly EndpointSlice[], port: ServicePort): DesiredOrigin['endpoints'] {
  const ready = new Map<string, { address: string; port: number }>();
  const ending = new Map<string, { address: string; port: number }>();
  for (const slice of slices) {
    const number = slicePort(slice, port);
    if (number === undefined) continue;
    for (const { addresses, conditions = {} } of slice.endpoints ?? []) {
      // All addresses of an entry are the same endpoint: the first stands for it.
      const address = canonicalAddress(addresses[0] ?? '');
      if (address === undefined) continue;
      const isReady = conditions.ready !== false;
      const isEnding = conditions.serving === true && conditions.terminating === true;
      if (isReady) ready.set(`${address}|${number}`, { address, port: number });
      else if (isEnding) ending.set(`${address}|${number}`, { address, port: number });
    }
  }
  const chosen = [...(ready.size > 0 ? ready : ending).entries()];
  return chosen.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
}

/** A slice without ports serves on whatever is asked for. */
function slicePort(slice: EndpointSlice, port: ServicePort): number | undefined {
  if (slice.ports === undefined) return typeof port.targetPort === 'number' ? port.targetPort : port.port;
  const own = slice.ports.find((one) => (one.name ?? '') === (port.name ?? '') && (one.protocol ?? 'TCP') === 'TCP');
  return own?.port;
}
