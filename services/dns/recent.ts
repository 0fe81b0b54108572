/** What was answered lately: a ring of steered answers for the dashboard, and who asked for which probe name. */
import type { DnsAnswer, DnsAnswers } from '@ufes/core/dashboard.ts';
import type { ClientChoice, ClientSubnet } from '@ufes/core/dns/ecs.ts';
import { type Address, type Family, formatAddress, formatPrefix, prefixOf } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { SeenIds, type ToldByDns } from '@ufes/core/seen.ts';

const size = limits.dns.recentAnswers;

/** Takes note of a steered answer; `pop` empty: no PoP was answered. */
export interface AnswerSink {
  addAnswer(atMs: number, name: string, pop: string, choice: ClientChoice, subnet: ClientSubnet): void;
}

/** Takes note of who asked for an ID-POP name. */
export interface ProbeSink {
  addProbe(id: string, pop: string, atMs: number, peer: Address, choice: ClientChoice, subnet: ClientSubnet): void;
}

/** Length of the prefix that is remembered of a client: what was sent of it, at most a cell. */
export function answeredPrefix({ client, bySubnet, scopeBase }: ClientChoice, { source }: ClientSubnet): number {
  const cell = client.family === 4 ? 24 : 48;
  return bySubnet ? Math.min(cell, source - scopeBase) : cell;
}

/** Length of the ECS prefix, -1: the resolver sent none that counts. */
export function probePrefix({ client, bySubnet, scopeBase }: ClientChoice, { source }: ClientSubnet): number {
  return bySubnet ? Math.min(source - scopeBase, client.family === 4 ? 32 : 64) : -1;
}

/** Writing takes no allocation; the oldest entry is overwritten. */
export class RecentAnswers implements AnswerSink {
  #seq = 0;
  readonly #atMs = new Float64Array(size);
  readonly #name = new Array<string>(size).fill('');
  readonly #pop = new Array<string>(size).fill('');
  readonly #family = new Uint8Array(size);
  readonly #hi = new Uint32Array(size);
  readonly #lo = new Uint32Array(size);
  readonly #length = new Uint8Array(size);

  addAnswer(atMs: number, name: string, pop: string, choice: ClientChoice, subnet: ClientSubnet): void {
    this.put(atMs, name, pop, choice.client, answeredPrefix(choice, subnet));
  }

  put(atMs: number, name: string, pop: string, { family, hi, lo }: Address, length: number): void {
    const at = this.#seq++ % size;
    this.#atMs[at] = atMs;
    this.#name[at] = name;
    this.#pop[at] = pop;
    this.#family[at] = family;
    this.#hi[at] = hi;
    this.#lo[at] = lo;
    this.#length[at] = length;
  }

  /** Those after `seq`, oldest first. */
  since(seq: number): DnsAnswers {
    const answers: DnsAnswer[] = [];
    for (let i = Math.max(seq, this.#seq - size, 0); i < this.#seq; i++) {
      const at = i % size;
      const address: Address = { family: this.#family[at] as Family, hi: this.#hi[at]!, lo: this.#lo[at]! };
      answers.push({
        seq: i + 1,
        atMs: this.#atMs[at]!,
        name: this.#name[at]!,
        client: formatPrefix(prefixOf(address, this.#length[at]!)),
        ...(this.#pop[at] === '' ? {} : { pop: this.#pop[at]! }),
      });
    }
    return { last: this.#seq, answers };
  }
}

export interface ProbeQuery {
  readonly id: string;
  readonly pop: string;
  readonly atMs: number;
  /** Address of the resolver that asked; of a v6 one its /64. */
  readonly resolver: string;
  /** ECS prefix, when the resolver sent one. */
  readonly subnet?: string;
}

/** ID → resolver. The oldest entries go first; an ID asked again keeps its place and its first resolver. */
export class ProbeQueries implements ProbeSink {
  /** Since they were told last (probe-names.ts). */
  readonly untold = new SeenIds<ToldByDns>();
  readonly #byName = new Map<string, ProbeQuery>();

  addProbe(id: string, pop: string, atMs: number, peer: Address, choice: ClientChoice, subnet: ClientSubnet): void {
    this.put(id, pop, atMs, peer, choice.client, probePrefix(choice, subnet));
  }

  /** `length` -1: no prefix. */
  put(id: string, pop: string, atMs: number, peer: Address, client: Address, length: number): void {
    const key = `${id} ${pop}`;
    if (this.#byName.has(key)) return;
    if (this.#byName.size >= size) {
      const oldest = this.#byName.keys().next().value;
      if (oldest !== undefined) this.#byName.delete(oldest);
    }
    const resolver = peer.family === 4 ? formatAddress(peer) : formatPrefix(prefixOf(peer, 64));
    const subnet = length < 0 ? undefined : formatPrefix(prefixOf(client, length));
    this.#byName.set(key, { id, pop, atMs, resolver, ...(subnet !== undefined && { subnet }) });
    this.untold.add(id, (before = []) =>
      before.length >= limits.dns.resolversOfId || before.some(([known]) => known === resolver)
        ? undefined
        : [...before, subnet === undefined ? [resolver] : [resolver, subnet]],
    );
  }

  /** Asked first at or after `sinceMs`. */
  since(sinceMs: number): ProbeQuery[] {
    return [...this.#byName.values()].filter((one) => one.atMs >= sinceMs);
  }
}
