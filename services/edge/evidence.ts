/**
 * What this PoP learns of those who ask it for probe names: how far they are, by the handshake, as samples on the stream;
 * and which prefix each ID came from, for the join with resolvers.
 *
 *     plane ─ connection for ID ─▶ address cut to its prefix ─┬▶ full handshake ─▶ sample (kind edge) ─▶ stream
 *                                                             └▶ ID → prefix ─▶ seen/edge/POP
 *
 * Addresses stay here, to be counted for the cap, for ten minutes at most. Samples are promised to nobody: where the
 * stream does not take them the oldest go. A token is a name and a PoP, so each is folded once.
 */
import { describeError } from '@ufes/core/errors.ts';
import { cellOf, formatPrefix, parseAddress, prefixOf } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component, StreamRecord } from '@ufes/core/ports.ts';
import { type SampleRecord, shardOf } from '@ufes/core/samples.ts';
import { SeenIds, seenKey, type ToldByEdge } from '@ufes/core/seen.ts';
import { rateLimited } from '@ufes/io/log.ts';
import { Counter } from '@ufes/io/metrics.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { HandshakeTime, SeenProbe } from './data-plane.ts';

type Parts = Pick<ServiceContext, 'config' | 'store' | 'queue' | 'clock' | 'log' | 'registry' | 'node'>;

/** Name of the source that edge-timed evidence is kept under. */
const edgeSource = 'edge';

const outcomes = ['sample', 'resumed', 'no-time', 'long-flight', 'capped', 'dropped'] as const;
type Outcome = (typeof outcomes)[number];

export class ProbeEvidence implements Component {
  readonly #parts: Parts;
  readonly #pop: string;
  readonly #take: () => readonly SeenProbe[];
  readonly #counts: Counter<'outcome'>;
  readonly #warn: ReturnType<typeof rateLimited>;
  #waiting: SampleRecord[] = [];
  readonly #seen = new SeenIds<ToldByEdge>();
  #byAddress = new Map<string, number>();
  #countedFromMs = 0;
  #toldAtMs = 0;
  #stop: (() => void) | undefined;
  #isWanted = false;
  #running: Promise<void> | undefined;

  constructor(parts: Parts, pop: string, take: () => readonly SeenProbe[]) {
    this.#parts = parts;
    this.#pop = pop;
    this.#take = take;
    this.#warn = rateLimited(10_000, () => parts.clock.monotonicMs());
    this.#counts = new Counter({
      name: 'ufes_edge_probes_total',
      help: 'Connections for probe names: `sample` became edge-timed evidence, the others did not and say why.',
      labelNames: ['outcome'],
      registers: [parts.registry],
    });
    for (const outcome of outcomes) this.#counts.inc({ outcome }, 0);
  }

  async start(): Promise<void> {
    const { clock } = this.#parts;
    this.#toldAtMs = clock.nowMs();
    this.#stop = clock.every(limits.edge.evidenceMs, () => void this.step());
  }

  async stop(): Promise<void> {
    this.#stop?.();
    await this.#running;
    await this.step();
  }

  /** What was told last or is about to be: ID → prefix and round trip. */
  seen(): ReadonlyMap<string, ToldByEdge> {
    return this.#seen.ids;
  }

  /** Takes what came since, sends and tells what is due. Never rejects; resolves when a round that began after the call is done. */
  step(): Promise<void> {
    for (const seen of this.#take()) this.#note(seen);
    this.#isWanted = true;
    this.#running ??= this.#whileWanted();
    return this.#running;
  }

  async #whileWanted(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#sendAndTell();
    }
    this.#running = undefined;
  }

  #note({ id, client, atMs, handshake }: SeenProbe): void {
    const address = parseAddress(client);
    if (address === undefined) return;
    const prefix = formatPrefix(cellOf(address));
    const outcome = this.#judge(handshake, formatPrefix(prefixOf(address, address.family === 4 ? 32 : 64)), atMs);
    this.#counts.inc({ outcome });
    const rttMs = outcome === 'sample' ? Math.round(10 * handshake!.rttMs) / 10 : undefined;
    this.#seen.add(id, (before) => before ?? (rttMs === undefined ? [prefix] : [prefix, rttMs]));
    if (outcome !== 'sample') return;
    if (this.#waiting.length >= limits.edge.evidenceWaiting) {
      this.#waiting.shift();
      this.#counts.inc({ outcome: 'dropped' });
    }
    this.#waiting.push({
      token: `${id}-${this.#pop}`,
      tokenExpiresAtMs: atMs + limits.probe.tokenMs,
      atMs,
      source: edgeSource,
      kind: 'edge',
      prefix,
      observations: [{ target: `pop:${this.#pop}`, ok: true, rttMs: handshake!.rttMs, weight: 1 }],
    });
  }

  #judge(handshake: HandshakeTime | undefined, address: string, atMs: number): Outcome {
    if (handshake === undefined) return 'no-time';
    const { isResumed, flightBytes, rttMs } = handshake;
    if (isResumed) return 'resumed';
    if (flightBytes > limits.edge.flightBytesMax) return 'long-flight';
    if (!(rttMs > 0 && rttMs <= limits.probe.rttMsMax)) return 'no-time';
    return this.#isWithinCap(address, atMs) ? 'sample' : 'capped';
  }

  /** As many of an address as a collector takes beacons of it: each beacon comes here once. */
  #isWithinCap(address: string, atMs: number): boolean {
    const { addressPerHour } = this.#parts.config.probes.caps;
    if (addressPerHour === 0) return true;
    if (atMs - this.#countedFromMs >= limits.edge.addressMs) {
      this.#countedFromMs = atMs;
      this.#byAddress = new Map();
    }
    const count = (this.#byAddress.get(address) ?? 0) + 1;
    if (count === 1 && this.#byAddress.size >= limits.edge.addressesCounted) return false;
    this.#byAddress.set(address, count);
    return count <= Math.ceil((addressPerHour * limits.edge.addressMs) / 3_600_000);
  }

  async #sendAndTell(): Promise<void> {
    const { clock, log } = this.#parts;
    try {
      await this.#send();
      if (clock.nowMs() - this.#toldAtMs >= limits.edge.tellIdsMs) await this.#tell();
    } catch (thrown) {
      this.#warn('stream', (suppressed) =>
        log.warn({ error: describeError(thrown), suppressed }, 'what the edge timed waits for the store'),
      );
    }
  }

  async #send(): Promise<void> {
    const byShard = Map.groupBy(this.#waiting, ({ prefix }) => shardOf(prefix));
    for (const [shard, records] of byShard) {
      await this.#append(shard, records);
      const sent = new Set(records);
      this.#waiting = this.#waiting.filter((one) => !sent.has(one));
    }
  }

  /** Where the numbering goes on only the stream knows: it may have come back older, or been moved on. */
  async #append(shard: number, samples: readonly SampleRecord[]): Promise<void> {
    const { queue, node } = this.#parts;
    const last = await queue.samples.lastSeq(shard, node);
    const encoder = new TextEncoder();
    const records = samples.map(
      (sample, i): StreamRecord => ({ seq: last + 1 + i, bytes: encoder.encode(JSON.stringify(sample)) }),
    );
    await queue.samples.append(shard, node, records);
  }

  async #tell(): Promise<void> {
    const { store, clock } = this.#parts;
    const nowMs = clock.nowMs();
    this.#toldAtMs = nowMs;
    if (this.#seen.ids.size === 0) return;
    const value = this.#seen.take(nowMs);
    await store.live.put([{ key: `${seenKey.edge}${this.#pop}`, value, ttlMs: 3 * limits.edge.tellIdsMs }]);
  }
}
