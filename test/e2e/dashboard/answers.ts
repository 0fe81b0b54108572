/** What dns and the mapper say when the dashboard asks: an explanation, and a history with one change of each kind. */
import { service } from './browser.ts';

export const explanation = (over: object = {}) => ({
  atMs: Date.now(),
  node: 'dns',
  name: `${service}.`,
  asked: `${service}.`,
  zone: 'shop.example.',
  resolver: '198.51.100.53',
  evidence: 'client subnet',
  placed: '198.51.100.0/24',
  control: false,
  client: '198.51.100.7',
  type: 'A',
  service: 'shop',
  owner: 'config',
  why: 'map',
  map: { version: '1764000000000-a1b2c3', ageSeconds: 12, sources: ['demo', 'rum'], geoip: 'made by a test' },
  desired: { version: '1764000000000-d4e5f6', ageSeconds: 4_000 },
  prefix: '198.51.100.0/24',
  scope: 24,
  cell: '198.51.100.0/24',
  place: 'London, GB',
  ttlSeconds: 30,
  ttl: { minSeconds: 5, maxSeconds: 60, why: 'quiet' },
  message: {
    query: 'AAABAAABAAAAAAAA',
    answer: 'AACFAAABAAEAAAAAA3d3dwRzaG9wB2V4YW1wbGUAAAEAAcAMAAEAAQAAAB4ABMYzZAE=',
    rcode: 'NOERROR',
  },
  answers: ['198.51.100.1'],
  pops: [
    {
      pop: 'lon',
      rank: 1,
      chosen: false,
      by: '',
      loadPerMille: 0,
      keeps: 1,
      health: {
        state: 'down',
        sinceMs: 1_764_000_000_000,
        counted: 2,
        votes: [
          { vantage: 'dns', state: 'down' },
          { vantage: 'probe', state: 'down' },
        ],
      },
      passed: 'down',
      state: 'down',
      sinceSeconds: 1_764_000_000,
      vips: ['192.0.2.1'],
      estimate: { clientMs: 12.4, lowMs: 11, highMs: 14, n: 61, tier: 'prefix', backboneMs: 9, costMs: 46.2 },
    },
    {
      pop: 'iad',
      rank: 2,
      chosen: true,
      by: 'map',
      loadPerMille: 548,
      keeps: 0.9,
      passed: '',
      state: 'up',
      sinceSeconds: 1_764_000_000,
      vips: ['198.51.100.1'],
      estimate: { clientMs: 81, lowMs: 77, highMs: 88, n: 23, tier: 'prefix', backboneMs: 88, costMs: 331 },
    },
    {
      ...{
        pop: 'sin',
        rank: 3,
        chosen: false,
        by: '',
        passed: '',
        state: 'up',
        sinceSeconds: 0,
        vips: ['203.0.113.1'],
      },
      ...{ loadPerMille: 87, keeps: 1 },
      estimate: { clientMs: 172, lowMs: 120, highMs: 10_000, n: 3, tier: 'spatial', backboneMs: 160, costMs: 676 },
    },
  ],
  ...over,
});

export const planAtMs = (nowMs: number) => Math.floor(nowMs / 86_400_000) * 86_400_000 - 7_200_000;

/** One of each kind, newest first; a hold is on. */
export function history(nowMs: number) {
  const reasons = [
    {
      guard: 'too-much',
      text: 'it would move 31% of demand (184 cells) away from estimates in service; 25% is the most that goes unasked. `ufes rollback --release` lets it pass, in stages',
    },
  ];
  const moved = { wanted: 0.31, moved: 0, exempt: 0, first: 0, discretionary: 0, staged: 0.31, cells: 0 };
  const predicted = { meanBeforeMs: 42.3, meanAfterMs: 55.1, p95BeforeMs: 120, p95AfterMs: 190, known: 0.92 };
  const loads = [
    { pop: 'lon', before: 0.42, after: 0.37 },
    { pop: 'iad', before: 0.51, after: 0.55 },
  ];
  const version = (ms: number) => `${ms}-a1b2c3`;
  return {
    held: { sinceMs: nowMs - 420_000, reasons, wanted: 0.31 },
    publications: [
      { atMs: nowMs - 420_000, kind: 'hold', reasons, moved, predicted },
      {
        ...{ atMs: nowMs - 2_400_000, kind: 'publish', version: version(nowMs - 2_400_000), reasons: [], loads },
        moved: { ...moved, wanted: 0.052, moved: 0.034, first: 0.012, discretionary: 0.022, staged: 0.018, cells: 41 },
        predicted: { ...predicted, meanAfterMs: 40.9, p95AfterMs: 117 },
        measured: { atMs: nowMs - 1_500_000, gainMs: 11.4, predictedGainMs: 12.6, known: 0.71 },
      },
      { atMs: nowMs - 9_000_000, kind: 'release', reasons: [], by: 'alice', why: 'the estimates were right after all' },
      {
        ...{ atMs: nowMs - 9_600_000, kind: 'rollback', version: version(nowMs - 9_600_000), reasons: [] },
        ...{
          restores: version(nowMs - 90_000_000),
          untilMs: nowMs + 3_600_000,
          by: 'alice',
          why: 'Singapore looked wrong',
        },
      },
      {
        ...{ atMs: nowMs - 12_000_000, kind: 'publish', version: version(nowMs - 12_000_000), reasons: [], loads: [] },
        moved: { ...moved, wanted: 0.004, moved: 0.004, exempt: 0.004, staged: 0, cells: 1 },
        predicted: { ...predicted, meanAfterMs: 42.2 },
      },
      {
        ...{ atMs: planAtMs(nowMs), kind: 'plan', reasons: [], by: 'bob' },
        plan: {
          ...{ file: 'ufes.next.yaml', drained: ['sin'], moved: 0.124, harmed: 0.031 },
          changes: [
            'lon changed: capacity: 10000 requests/s → 6000 requests/s',
            'www.shop.example changed: TTL: 60 s → 30 s: clients follow a move within that time; about 2 times the queries',
          ],
          ...{ meanBeforeMs: 42.3, meanAfterMs: 44.1, p95BeforeMs: 120, p95AfterMs: 131 },
          loads: [...loads, { pop: 'sin', before: 0.12, after: 0 }],
          from: { hash: 'x', desired: version(1), closed: [] },
          appliedAtMs: planAtMs(nowMs) + 600_000,
          measured: {
            atMs: planAtMs(nowMs) + 1_600_000,
            moved: 0.12,
            meanAfterMs: 45.05,
            p95AfterMs: 133,
            loads: [{ pop: 'lon', told: 0.36 }],
          },
        },
      },
    ],
  };
}
