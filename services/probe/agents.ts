/**
 * Agents: hosts of the operator that measure as browsers do, each under a key of its own. The store holds the public
 * halves; here they are kept in memory and looked up again now and then, so that a key that is revoked anywhere is
 * refused everywhere.
 *
 *     authorization: ufes-agent NAME MILLISECONDS SIGNATURE      Ed25519 over "METHOD PATH\nMILLISECONDS\nBODY", base64url
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { AgentReport } from '@ufes/core/agents.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { type Address, cellOf, formatPrefix, parsePrefix, prefixOf } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Component, Log, Rng, Store } from '@ufes/core/ports.ts';
import { rateLimited } from '@ufes/io/log.ts';
import { agentScheme, signedText } from './agent/signature.ts';
import { HourlyCounts } from './caps.ts';
import { Refusal } from './refusals.ts';

/** What the store has of an agent. */
interface Registered {
  /** SPKI, base64. */
  readonly publicKey: string;
  /** Where it may report from; empty: anywhere. */
  readonly prefixes: readonly string[];
  readonly createdAtMs: number;
  readonly by: string;
}

interface Agent extends Registered {
  readonly name: string;
  readonly number: number;
  readonly key: KeyObject;
  lastSeenMs?: number;
  lastPrefix?: string;
  reports: number;
}

export interface AgentParts {
  readonly store: Pick<Store, 'secrets' | 'audit'>;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

const folder = 'agent/';
const namePattern = /^[a-z][a-z0-9-]{0,30}$/;

export class Agents implements Component {
  readonly #parts: AgentParts;
  #agents: ReadonlyMap<string, Agent> = new Map();
  readonly #counts: HourlyCounts;
  #numbers = 0;
  #cancel = (): void => {};
  readonly #limited: ReturnType<typeof rateLimited>;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#counts = new HourlyCounts(8 * limits.probe.agents, parts.rng.bytes(8));
    this.#limited = rateLimited(60_000, () => parts.clock.monotonicMs());
  }

  /** A store that is not there yet is asked again; until then no agent is known. */
  async start(): Promise<void> {
    await this.#lookAgain();
    this.#cancel = this.#parts.clock.every(limits.probe.agentsMs, () => void this.#lookAgain());
  }

  async stop(): Promise<void> {
    this.#cancel();
  }

  /** The agent that signed a request; undefined: it does not say it is one. Throws a Refusal. */
  of(request: IncomingMessage, body: string, client: Address): string | undefined {
    const { authorization } = request.headers;
    if (authorization === undefined) return undefined;
    const [scheme, name = '', atMs = '', signature = ''] = authorization.split(' ');
    if (scheme !== agentScheme) return undefined;
    const agent = this.#agents.get(name);
    if (agent === undefined)
      throw new Refusal('agent-unknown', `no agent "${name.slice(0, 31)}", or its key is revoked`);
    const nowMs = this.#parts.clock.nowMs();
    const text = signedText(request.method ?? '', request.url ?? '', atMs, body);
    const isSigned = verify(null, Buffer.from(text), agent.key, Buffer.from(signature, 'base64url'));
    if (!isSigned) throw new Refusal('agent-signature', `not signed by the key of agent "${name}"`);
    if (!(Math.abs(nowMs - Number(atMs)) <= limits.probe.agentClockMs)) {
      throw new Refusal('agent-signature', `the clock of agent "${name}" differs from ours by more than 5 minutes`);
    }
    if (agent.prefixes.length > 0 && !agent.prefixes.some((prefix) => isWithin(client, prefix))) {
      throw new Refusal('agent-elsewhere', `agent "${name}" may report from ${agent.prefixes.join(', ')} alone`);
    }
    return name;
  }

  /** Counts a report. Throws a Refusal at the cap. */
  count(name: string, client: Address): void {
    const agent = this.#agents.get(name);
    if (agent === undefined) return;
    const nowMs = this.#parts.clock.nowMs();
    if (this.#counts.add({ family: 4, hi: agent.number, lo: 0 }, nowMs) > limits.probe.agentReportsPerHour) {
      throw new Refusal(
        'over-agent-cap',
        `more than ${limits.probe.agentReportsPerHour} reports of one agent in an hour`,
      );
    }
    agent.reports++;
    agent.lastSeenMs = nowMs;
    agent.lastPrefix = formatPrefix(cellOf(client));
  }

  list(): AgentReport[] {
    return [...this.#agents.values()].map(({ name, prefixes, createdAtMs, by, reports, lastSeenMs, lastPrefix }) => ({
      ...{ name, prefixes, createdAtMs, by, reports },
      ...(lastSeenMs !== undefined && { lastSeenMs }),
      ...(lastPrefix !== undefined && { lastPrefix }),
    }));
  }

  /** A key for a new agent: its private half (PKCS #8, base64) is told once, here, and kept nowhere. */
  async create(name: string, prefixes: readonly string[], by: string): Promise<string> {
    if (!namePattern.test(name)) {
      throw new OperatingError(
        'REQUEST_INVALID',
        `"${name}": a letter first, then letters, digits and "-", 31 at most`,
      );
    }
    const wrong = prefixes.find((prefix) => parsePrefix(prefix) === undefined);
    if (wrong !== undefined) throw new OperatingError('REQUEST_INVALID', `"${wrong}" is no prefix, e.g. 192.0.2.0/24`);
    const { secrets } = this.#parts.store;
    const known = await secrets.list(folder);
    if (known.includes(folder + name)) {
      throw new OperatingError(
        'REQUEST_INVALID',
        `agent "${name}" has a key; revoke it first: ufes probe agent-revoke ${name}`,
      );
    }
    if (known.length >= limits.probe.agents) {
      throw new OperatingError('REQUEST_INVALID', `there are ${known.length} agents; revoke those that are gone`);
    }
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const registered: Registered = {
      publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      prefixes,
      createdAtMs: this.#parts.clock.nowMs(),
      by,
    };
    await secrets.put(folder + name, Buffer.from(JSON.stringify(registered)));
    await this.#audit('agent-key', name, by, { prefixes });
    await this.#look();
    return privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  }

  async revoke(name: string, by: string): Promise<void> {
    const { secrets } = this.#parts.store;
    if (!(await secrets.list(folder)).includes(folder + name)) {
      throw new OperatingError('NOT_FOUND', `no agent "${name}"; \`ufes probe agents\` lists them`);
    }
    await secrets.remove(folder + name);
    await this.#audit('agent-revoke', name, by, {});
    await this.#look();
  }

  #audit(action: string, subject: string, actor: string, detail: object): Promise<void> {
    return this.#parts.store.audit.append({ atMs: this.#parts.clock.nowMs(), actor, action, subject, detail });
  }

  async #lookAgain(): Promise<void> {
    try {
      await this.#look();
    } catch (thrown) {
      this.#limited('look', (suppressed) =>
        this.#parts.log.warn({ error: describeError(thrown), suppressed }, 'agents stay as they were known last'),
      );
    }
  }

  async #look(): Promise<void> {
    const { secrets } = this.#parts.store;
    const agents = new Map<string, Agent>();
    for (const path of await secrets.list(folder)) {
      const bytes = await secrets.get(path);
      if (bytes === undefined) continue;
      const name = path.slice(folder.length);
      const registered = JSON.parse(Buffer.from(bytes).toString()) as Registered;
      const known = this.#agents.get(name);
      if (known?.publicKey === registered.publicKey) {
        agents.set(name, known);
        continue;
      }
      const der = Buffer.from(registered.publicKey, 'base64');
      const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
      agents.set(name, { ...registered, name, number: ++this.#numbers, key, reports: 0 });
    }
    this.#agents = agents;
  }
}

function isWithin(client: Address, text: string): boolean {
  const prefix = parsePrefix(text);
  if (prefix === undefined || prefix.family !== client.family) return false;
  const own = prefixOf(client, prefix.length);
  return own.hi === prefix.hi && own.lo === prefix.lo;
}
