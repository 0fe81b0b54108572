/** Agents at the collector: who is believed, and who is not, over real sockets. */
import type { Plan, SampleRecord } from '@ufes/core/samples.ts';
import { ManualClock } from '@ufes/io/clock.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { authorize, formatAgentKey, parseAgentKey } from './agent/key.ts';
import { call, type Listeners, type Probe, plain, startProbe } from './probe.fixture.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const door: Listeners[number] = { ...plain, proxy: 'x-forwarded-for' };
const clock = new ManualClock();

async function started(init: Parameters<typeof startProbe>[1] = {}): Promise<Probe & { at: string }> {
  const probe = await startProbe([door], { clock, ...init });
  cleanups.push(() => probe.stop());
  return { ...probe, at: probe.addresses[0]! };
}

const admin = ({ context }: Probe, url: string, payload: object) =>
  context.admin.inject({ method: 'POST', url, payload });

async function keyOf(probe: Probe, name: string, prefixes: string[] = []) {
  const answer = await admin(probe, '/agents', { name, prefixes, by: 'ada' });
  expect(answer.statusCode).toBe(200);
  return parseAgentKey(formatAgentKey(name, answer.json<{ key: string }>().key));
}
type Key = Awaited<ReturnType<typeof keyOf>>;

async function asked(at: string, key: Key, client = '192.0.2.1', atMs = clock.nowMs()) {
  const authorization = authorize(key, 'GET', '/rum/plan', atMs, '');
  return call(at, '/rum/plan', { headers: { authorization, 'x-forwarded-for': client } });
}
async function reported(at: string, key: Key, client = '192.0.2.1', tamper = (body: string) => body) {
  const plan = JSON.parse((await asked(at, key, client)).text) as Plan;
  const body = JSON.stringify({
    token: plan.token,
    results: plan.targets.map(({ id }) => ({ target: id, ok: true, rttMs: [20] })),
  });
  const authorization = authorize(key, 'POST', '/rum/beacon', clock.nowMs(), body);
  const headers = { authorization, 'x-forwarded-for': client };
  return call(at, '/rum/beacon', { method: 'POST', body: tamper(body), headers });
}

async function samples({ context }: Probe): Promise<SampleRecord[]> {
  const found: SampleRecord[] = [];
  for (let shard = 0; shard < 16; shard++) {
    for (const collector of await context.queue.samples.collectors(shard)) {
      for (const { bytes } of await context.queue.samples.read(shard, collector, 0, 1000)) {
        const record = JSON.parse(Buffer.from(bytes).toString()) as SampleRecord;
        if (record.observations !== undefined) found.push(record);
      }
    }
  }
  return found;
}

const reasonsOf = async ({ context }: Probe): Promise<string[]> =>
  (await context.admin.inject('/refused'))
    .json<{ prefixes: { reason: string }[] }>()
    .prefixes.map(({ reason }) => reason);

describe('an agent', () => {
  it('reports as a browser does, under its own kind and source, about the prefix it is seen at', async () => {
    const probe = await started();
    const key = await keyOf(probe, 'london-office');
    expect((await reported(probe.at, key)).status).toBe(204);
    clock.advance(100);
    await vi.waitFor(async () =>
      expect(await samples(probe)).toMatchObject([{ kind: 'agent', source: 'agent', prefix: '192.0.2.0/24' }]),
    );
    const { agents } = (await probe.context.admin.inject('/agents')).json();
    expect(agents).toMatchObject([{ name: 'london-office', by: 'ada', reports: 1, lastPrefix: '192.0.2.0/24' }]);
    const audit = await probe.context.store.audit.list(5);
    expect(audit).toMatchObject([{ action: 'agent-key', subject: 'london-office', actor: 'ada' }]);
  });

  it('has a cap of its own, not that of an address', async () => {
    const probe = await started({ caps: { addressPerHour: 1 } });
    const key = await keyOf(probe, 'office');
    for (let i = 0; i < 3; i++) expect((await reported(probe.at, key)).status).toBe(204);
  });

  it('is refused with a key that is revoked, there and at other collectors', async () => {
    const probe = await started();
    const key = await keyOf(probe, 'office');
    const other = await startProbe([door], { clock, node: 'probe-2', state: probe.context.state });
    cleanups.push(() => other.stop());
    expect((await reported(other.addresses[0]!, key)).status).toBe(204);
    expect((await admin(probe, '/agents/revoke', { name: 'office', by: 'ada' })).statusCode).toBe(200);
    expect(await asked(probe.at, key)).toMatchObject({ status: 403, text: expect.stringContaining('revoked') });
    await vi.waitFor(async () => {
      clock.advance(5_000);
      expect((await asked(other.addresses[0]!, key)).status).toBe(403);
    });
    expect((await probe.context.admin.inject('/agents')).json()).toEqual({ agents: [] });
    expect(await reasonsOf(probe)).toEqual(['agent-unknown']);
  });

  it.each<[what: string, reason: string, act: (probe: Probe & { at: string }) => Promise<{ status: number }>]>([
    [
      'of another key',
      'agent-signature',
      async (probe) => {
        const [mine, other] = [await keyOf(probe, 'mine'), await keyOf(probe, 'other')];
        return asked(probe.at, { ...mine, key: other.key });
      },
    ],
    [
      'whose clock is wrong',
      'agent-signature',
      async (probe) => asked(probe.at, await keyOf(probe, 'mine'), '192.0.2.1', clock.nowMs() - 301_000),
    ],
    [
      'whose report was changed on its way',
      'agent-signature',
      async (probe) =>
        reported(probe.at, await keyOf(probe, 'mine'), '192.0.2.1', (body) => body.replace('[20]', '[2]')),
    ],
    [
      'outside the prefixes of its key',
      'agent-elsewhere',
      async (probe) => asked(probe.at, await keyOf(probe, 'mine', ['198.51.100.0/24']), '192.0.2.1'),
    ],
  ])('%s is refused: %s', async (_, reason, act) => {
    const probe = await started();
    expect((await act(probe)).status).toBe(403);
    expect(await reasonsOf(probe)).toEqual([reason]);
    clock.advance(100);
    expect(await samples(probe)).toEqual([]);
  });

  it.each([
    [{ name: 'Office', by: 'ada' }, 400, 'a letter first'],
    [{ name: 'office', by: 'ada', prefixes: ['nowhere'] }, 400, 'no prefix'],
    [{ name: 'taken', by: 'ada' }, 400, 'revoke it first'],
  ])('gets no key for %j', async (payload, status, message) => {
    const probe = await started();
    await keyOf(probe, 'taken');
    const answer = await admin(probe, '/agents', payload);
    expect([answer.statusCode, answer.body]).toEqual([status, expect.stringContaining(message)]);
  });

  it('cannot be revoked twice', async () => {
    const answer = await admin(await started(), '/agents/revoke', { name: 'office', by: 'ada' });
    expect([answer.statusCode, answer.body]).toEqual([404, expect.stringContaining('ufes probe agents')]);
  });
});

it.each(['', 'office', 'office nonsense', 'Office MC4CAQ==', 'office MC4CAQ== more'])('%j is no key file', (text) => {
  expect(() => parseAgentKey(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
});
