/** What was answered lately: a ring of steered answers for the dashboard, and who asked for which probe name. */
import type { DnsAnswer, DnsAnswers } from '@ufes/core/dashboard.ts';
import type { ClientChoice, ClientSubnet } from '@ufes/core/dns/ecs.ts';
import { type Address, type Family, formatAddress, formatPrefix, prefixOf } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';

const size = limits.dns.recentAnswers;

/** Writing takes no allocation; the oldest entry is overwritten. */
export class RecentAnswers {
  #seq = 0;
  readonly #atMs = new Float64Array(size);
  readonly #name = new Array<string>(size).fill('');
  readonly #pop = new Array<string>(size).fill('');
  readonly #family = new Uint8Array(size);
  readonly #hi = new Uint32Array(size);
  readonly #lo = new Uint32Array(size);
  readonly #length = new Uint8Array(size);

  /** `pop` empty: no PoP was answered. */
  add(atMs: number, name: string, pop: string, choice: ClientChoice, subnet: ClientSubnet): void {
    const at = this.#seq++ % size;
    const { family, hi, lo } = choice.client;
    this.#atMs[at] = atMs;
    this.#name[at] = name;
    this.#pop[at] = pop;
    this.#family[at] = family;
    this.#hi[at] = hi;
    this.#lo[at] = lo;
    const cell = family === 4 ? 24 : 48;
    this.#length[at] = choice.bySubnet ? Math.min(cell, subnet.source - choice.scopeBase) : cell;
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
export class ProbeQueries {
  readonly #byName = new Map<string, ProbeQuery>();

  add(id: string, pop: string, atMs: number, peer: Address, choice: ClientChoice, subnet: ClientSubnet): void {
    const key = `${id} ${pop}`;
    if (this.#byName.has(key)) return;
    if (this.#byName.size >= size) {
      const oldest = this.#byName.keys().next().value;
      if (oldest !== undefined) this.#byName.delete(oldest);
    }
    const resolver = peer.family === 4 ? formatAddress(peer) : formatPrefix(prefixOf(peer, 64));
    const length = Math.min(subnet.source - choice.scopeBase, choice.client.family === 4 ? 32 : 64);
    const prefix = choice.bySubnet ? { subnet: formatPrefix(prefixOf(choice.client, length)) } : {};
    this.#byName.set(key, { id, pop, atMs, resolver, ...prefix });
  }

  /** Asked first at or after `sinceMs`. */
  since(sinceMs: number): ProbeQuery[] {
    return [...this.#byName.values()].filter((one) => one.atMs >= sinceMs);
  }
}
