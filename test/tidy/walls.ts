/**
 * The walls of the house as data: which package may import which, and where each third party lives, with the reason.
 * A new dependency means a new line here. tidy.test.ts reads the imports and fails on a breach.
 */

/** Folder → name of the package, longest first. */
export const packages = {
  'shared/core': '@ufes/core',
  'shared/io': '@ufes/io',
  geoip: '@ufes/geoip',
  'services/dns': '@ufes/dns',
  'services/probe': '@ufes/probe',
  'services/mapper': '@ufes/mapper',
  'services/edge': '@ufes/edge',
  'services/controller': '@ufes/controller',
  'services/dashboard': '@ufes/dashboard',
  'services/ufes': 'ufes',
  loadtest: '@ufes/loadtest',
  test: '@ufes/test',
} as const;
export type Package = (typeof packages)[keyof typeof packages];

const shared: readonly Package[] = ['@ufes/core', '@ufes/io', '@ufes/geoip'];

/** Package → packages of ours that it may import. */
export const mayImport: Record<Package, readonly Package[] | 'anything'> = {
  '@ufes/core': [],
  '@ufes/io': ['@ufes/core'],
  '@ufes/geoip': ['@ufes/core', '@ufes/io'],
  '@ufes/dns': shared,
  '@ufes/probe': shared,
  '@ufes/mapper': shared,
  '@ufes/edge': shared,
  '@ufes/controller': shared,
  '@ufes/dashboard': shared,
  ufes: [...shared, '@ufes/dns', '@ufes/probe', '@ufes/mapper', '@ufes/edge', '@ufes/controller', '@ufes/dashboard'],
  '@ufes/loadtest': 'anything',
  '@ufes/test': 'anything',
};

/** Third party → [its homes, why it is here]. Tests may use fast-check, vitest and the oracles anywhere. */
export const thirdParties: Record<string, readonly [homes: readonly Package[], why: string]> = {
  typebox: [['@ufes/core'], 'contracts: one text gives types, validator and JSON Schema'],
  fastify: [['@ufes/io'], 'HTTP servers of the control plane'],
  pino: [['@ufes/io'], 'structured logs'],
  'prom-client': [['@ufes/io'], 'metrics in Prometheus form'],
  yaml: [['@ufes/io', '@ufes/controller'], 'configuration with positions; documents of Kubernetes'],
  '@peculiar/x509': [['@ufes/io'], 'certificates of the internal CA'],
  'reflect-metadata': [['@ufes/io'], '@peculiar/x509 wants it loaded before itself'],
  maxmind: [['@ufes/geoip'], 'validates and reads an operator’s own mmdb'],
  ioredis: [['@ufes/io'], 'the distributed store and queue: standalone, Sentinel, Cluster'],
  bullmq: [['@ufes/io'], 'jobs of the distributed queue: locks, retries, schedules'],
  koffi: [['@ufes/io'], 'system calls that Node has not: batched UDP'],
  undici: [['@ufes/edge'], 'keep-alive pools to origins'],
  esbuild: [['@ufes/probe', '@ufes/dashboard'], 'bundles browser code in memory at start'],
  preact: [['@ufes/dashboard'], 'pages'],
  uplot: [['@ufes/dashboard'], 'charts'],
  'd3-geo': [['@ufes/dashboard'], 'map projection'],
  'topojson-client': [['@ufes/dashboard'], 'reads the world map'],
  'world-atlas': [['@ufes/dashboard'], 'land and borders, shipped with the page'],
  dns2: [['ufes', '@ufes/test'], 'client side of look-ups, by another hand than our server'],
  'dns-packet': [['@ufes/test'], 'second oracle of the wire format'],
  'fast-check': [['@ufes/test'], 'property tests and fuzzing'],
  'playwright-core': [['@ufes/test'], 'drives Chromium'],
  k6: [['@ufes/loadtest'], 'load of visitors; the program runs the scripts, the package is a name for their imports'],
  '@datadog/sketches-js': [['@ufes/test'], 'oracle of our sketch'],
};

/** Imports that tests may make anywhere. */
export const testParties = [
  'vitest',
  'fast-check',
  'dns-packet',
  'dns2',
  '@datadog/sketches-js',
  'playwright-core',
  'maxmind',
];

/** shared/core is pure: of Node it may use nothing. */
export const pureFolders = ['shared/core'];

/** Words that read the world outside, and the files that may say them. */
export const worldly = [/\bDate\.now\b/, /\bMath\.random\b/, /\bprocess\.env\b/];
export const mayBeWorldly = [
  /^shared\/io\//,
  /^services\/[a-z]+\/main\.ts$/,
  /^services\/ufes\/(command\.ts|bin\/ufes\.js)$/,
  /^loadtest\//,
  /^test\//,
  /^services\/(dashboard\/web|probe\/beacon)\//,
  /\.test\.ts$/,
  /\.bench\.ts$/,
];

/** Files that are started, not imported. */
export const entries = [
  /^services\/[a-z]+\/main\.ts$/,
  /^services\/ufes\/child\.ts$/,
  /^services\/ufes\/bin\/ufes\.js$/,
  /^services\/dashboard\/web\/[a-z]+\.tsx?$/,
  /^services\/probe\/beacon\/[a-z]+\.ts$/,
  /^loadtest\//,
  /^test\//,
  /\.(test|bench)\.ts$/,
  /^vitest\.config\.ts$/,
  /^infra\//,
];

/** What a text of the repository never says: machine paths, registry hosts. */
export const unsaid = [/['"` (](\/work|\/root|\/home\/\w+)\//, /\bregistry\.\w+\.(org|com)\b/];
