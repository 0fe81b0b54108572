/**
 * RouteTable: host and path → route → cluster, compiled from a desired state. Immutable; a new state makes a new table
 * and the data plane swaps the pointer, so a request sees one table from start to end.
 *
 *     hosts      www.shop.example → HostRoutes      precise names first
 *     wildcards  shop.example     → HostRoutes      of *.shop.example, one label
 *
 *     HostRoutes.exact   /login         → Route     case-sensitive, the whole path
 *                .prefix /api  (no final slash) → Route   by path element
 *                .elementsMax           most elements of any prefix: bounds the search below
 *
 * `matchPath` looks for the exact path, then for each of the path's leading parts of at most `elementsMax` elements, the
 * longest first: k + 1 hash look-ups for a table with prefixes of k elements, whatever the number of routes.
 */
import type { DesiredHost, DesiredOrigin, DesiredPath, DesiredState } from '../desired.ts';
import type { Version } from '../version.ts';

export interface Cluster {
  readonly id: string;
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
  /** Absent: endpoints are not checked and count as up. */
  readonly healthPath?: string;
}

export interface Route {
  /** As written, for logs and metrics. */
  readonly path: string;
  readonly match: 'prefix' | 'exact';
  /** Origin id as written; `cluster` is undefined when there is no such origin. */
  readonly origin?: string;
  readonly cluster: Cluster | undefined;
  /** Until the response's headers, retries included, and between parts of its body. */
  readonly timeoutMs: number;
}

export interface HostRoutes {
  /** `www.shop.example` or `*.shop.example`. */
  readonly host: string;
  readonly owner: string;
  /** Name in the secret store; absent: the default certificate. */
  readonly secret?: string;
  readonly exact: ReadonlyMap<string, Route>;
  readonly prefix: ReadonlyMap<string, Route>;
  readonly elementsMax: number;
}

export interface RouteTable {
  readonly version: Version | undefined;
  readonly hosts: ReadonlyMap<string, HostRoutes>;
  readonly wildcards: ReadonlyMap<string, HostRoutes>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** Names of the form ID-POP.ZONE are answered by the edge itself. Lower case, no final dot. */
  readonly probeZone?: string;
}

export const emptyRouteTable: RouteTable = {
  version: undefined,
  hosts: new Map(),
  wildcards: new Map(),
  clusters: new Map(),
};

export function compileRouteTable(desired: DesiredState): RouteTable {
  const clusters = new Map(desired.origins.map((origin) => [origin.id, clusterOf(origin)]));
  const hosts = new Map<string, HostRoutes>();
  const wildcards = new Map<string, HostRoutes>();
  for (const one of desired.hosts) {
    const routes = hostRoutes(one, clusters);
    if (one.host.startsWith('*.')) wildcards.set(one.host.slice(2), routes);
    else hosts.set(one.host, routes);
  }
  const zone = desired.probe.zone?.replace(/\.$/, '').toLowerCase();
  return { version: desired.version, hosts, wildcards, clusters, ...(zone ? { probeZone: zone } : {}) };
}

/** Name in the secret store of the certificate for the probe names of `zone`. */
export function probeSecret(zone: string): string {
  return `certificate/*.${zone}`;
}

function clusterOf(origin: DesiredOrigin): Cluster {
  const { id, endpoints, healthPath } = origin;
  return { id, endpoints, ...(healthPath === undefined ? {} : { healthPath }) };
}

function hostRoutes(host: DesiredHost, clusters: ReadonlyMap<string, Cluster>): HostRoutes {
  const exact = new Map<string, Route>();
  const prefix = new Map<string, Route>();
  let elementsMax = 0;
  for (const path of host.paths) {
    const route = routeOf(path, clusters);
    const key = path.match === 'exact' ? path.path : withoutFinalSlash(path.path);
    const map = path.match === 'exact' ? exact : prefix;
    if (map.has(key)) continue; // the first of two that say the same: the controller has put them in order
    map.set(key, route);
    if (path.match === 'prefix') elementsMax = Math.max(elementsMax, elements(key));
  }
  const secret = host.secret === undefined ? {} : { secret: host.secret };
  return { host: host.host, owner: host.owner, ...secret, exact, prefix, elementsMax };
}

function routeOf(path: DesiredPath, clusters: ReadonlyMap<string, Cluster>): Route {
  const { match, origin, timeoutMs } = path;
  const cluster = origin === undefined ? undefined : clusters.get(origin);
  return { path: path.path, match, ...(origin === undefined ? {} : { origin }), cluster, timeoutMs };
}

function withoutFinalSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}

/** Path elements of a key without final slash: '' has none, `/a/b` two. */
function elements(key: string): number {
  let count = 0;
  for (let at = key.indexOf('/'); at >= 0; at = key.indexOf('/', at + 1)) count++;
  return count;
}

/** Routes of a host (lower case, no port, no final dot): the precise name before the wildcard of one label. */
export function matchHost(table: RouteTable, host: string): HostRoutes | undefined {
  const precise = table.hosts.get(host);
  if (precise !== undefined) return precise;
  const dot = host.indexOf('.');
  return dot > 0 ? table.wildcards.get(host.slice(dot + 1)) : undefined;
}

/** Route of a path in normal form: longest in elements, then exact before prefix. An exact path is the longest there is. */
export function matchPath(routes: HostRoutes, path: string): Route | undefined {
  const exact = routes.exact.get(path);
  if (exact !== undefined) return exact;
  if (routes.prefix.size === 0) return undefined;
  const end = path.endsWith('/') ? path.length - 1 : path.length;
  const cuts = [0];
  for (let at = path.indexOf('/', 1); cuts.length <= routes.elementsMax; at = path.indexOf('/', at + 1)) {
    if (at < 0 || at >= end) {
      if (end > 0) cuts.push(end);
      break;
    }
    cuts.push(at);
  }
  for (let i = cuts.length - 1; i >= 0; i--) {
    const route = routes.prefix.get(path.slice(0, cuts[i]));
    if (route !== undefined) return route;
  }
  return undefined;
}

/** What a request comes to before an endpoint is chosen; codes of reasons.ts where there is none. */
export type Matched = Route | 'no-host' | 'no-path' | 'backend-missing';

export function match(table: RouteTable, host: string, path: string): Matched {
  const routes = matchHost(table, host);
  if (routes === undefined) return 'no-host';
  const route = matchPath(routes, path);
  if (route === undefined) return 'no-path';
  return route.cluster === undefined ? 'backend-missing' : route;
}
