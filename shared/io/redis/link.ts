/**
 * The connection of a process to Redis, with what ioredis leaves open:
 *
 *     connecting ──ready──▶ examined by INFO ──suitable──▶ usable ──────▶ commands
 *         ▲                   │ evicts, replica, …            │ closed, silent for long, READONLY
 *         └───── again ◀──────┴───────────────────────────────┘
 *
 * - Every call settles within limits.redis.callMs. Whatever keeps Redis from answering is STORE_UNAVAILABLE (retry), and
 *   the next call finds a new connection: recovery needs no hand.
 * - A call that fails after it was sent may have been carried out: those that change something are safe to say again.
 * - It is examined again and again: settings change, and a failover leads to another server.
 */
import { createHash } from 'node:crypto';
import { parseStoreUrl, type RedisTarget, storeName } from '@ufes/core/config/store-url.ts';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import type { Redis } from 'ioredis';
import { rateLimited } from '../log.ts';
import { type Client, createClient } from './client.ts';
import { judgeInfo, parseInfo, type Suitability } from './suitable.ts';

export type Argument = string | number | Uint8Array;

/** Lua that Redis runs as one step. All keys of a call have one hash tag. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export function script(lua: string): Script {
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

export interface LinkOptions {
  readonly target: RedisTarget;
  /** Where paths in the target start. */
  readonly folder: string;
  readonly log: Log;
}

/** Throws CONFIG_INVALID. */
export function targetOf(url: string): RedisTarget {
  const target = parseStoreUrl(url);
  if (typeof target === 'string') throw new OperatingError('CONFIG_INVALID', `store: ${target}`);
  return target;
}

interface Waiting {
  /** The try to connect whose failure is an answer: one that was under way before says nothing about now. */
  readonly attempt: number;
  readonly settle: (why: Error | undefined) => void;
}

export class RedisLink {
  readonly target: RedisTarget;
  readonly name: string;
  readonly #options: LinkOptions;
  readonly #client: Client;
  readonly #complain: ReturnType<typeof rateLimited>;
  readonly #waiting = new Set<Waiting>();
  /** Tries to connect that were begun. */
  #attempts = 0;
  readonly #others = new Set<Client>();
  #state: 'connecting' | 'usable' | 'refused' | 'closed' = 'connecting';
  #why = '';
  #isDown = false;
  /** Since when calls have been under way without an answer to any. */
  #silentSinceMs: number | undefined;
  #watch: NodeJS.Timeout | undefined;
  readonly #examining: NodeJS.Timeout;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.target = options.target;
    this.name = storeName(options.target);
    this.#complain = rateLimited(10_000, () => performance.now());
    this.#client = createClient(options.target, options.folder);
    this.#client.on('ready', () => void this.#examine());
    this.#client.on('connecting', () => {
      this.#attempts++;
      this.#watchFrom();
    });
    this.#client.on('error', (error: Error) => this.#lost(plain(error)));
    this.#client.on('close', () => this.#lost(undefined));
    this.#watchFrom();
    this.#examining = setInterval(() => this.#look(), limits.redis.lookMs);
    this.#examining.unref();
  }

  /** `PREFIX:{TAG}:REST`; keys with one tag are in one place of a Cluster. */
  key(tag: string, rest: string): string {
    return `${this.target.prefix}:{${tag}}:${rest}`;
  }

  /** The answer with texts as Buffers. Rejects with STORE_UNAVAILABLE. */
  command(name: string, ...args: Argument[]): Promise<unknown> {
    return this.#bounded(() => this.#client.callBuffer(name, args.map(sendable)));
  }

  /** The answer with texts as Buffers. Rejects with STORE_UNAVAILABLE. */
  script({ lua, sha }: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args.map(sendable)];
    return this.#bounded(async () => {
      try {
        return await this.#client.callBuffer('evalsha', [sha, ...rest]);
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
        return await this.#client.callBuffer('eval', [lua, ...rest]);
      }
    });
  }

  /** Another connection, for what needs one of its own; it ends with this link. */
  another(own: Parameters<typeof createClient>[2] = {}): Client {
    const client = createClient(this.target, this.#options.folder, own);
    this.#others.add(client);
    client.on('error', (error: Error) => {
      this.#options.log.debug({ store: this.name }, `redis: ${plain(error)}`);
    });
    client.once('end', () => this.#others.delete(client));
    return client;
  }

  /** Of the server's clock. */
  async timeMs(): Promise<number> {
    const [seconds, microseconds] = (await this.command('time')) as Buffer[];
    return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
  }

  /** Why it cannot be used, when it cannot. */
  get why(): string {
    return this.#why;
  }

  /** Undefined while it cannot be reached. */
  async suitability(): Promise<Suitability | undefined> {
    try {
      await this.#whenUsable(performance.now() + limits.redis.callMs);
      return this.#found;
    } catch {
      return this.#state === 'refused' ? this.#found : undefined;
    }
  }

  #found: Suitability = { warnings: [] };

  close(): void {
    this.#state = 'closed';
    clearInterval(this.#examining);
    clearTimeout(this.#watch);
    this.#settle(new Error('it is closed here'));
    for (const client of [this.#client, ...this.#others]) client.disconnect();
  }

  // --- Calls -------------------------------------------------------------------------------------------------------

  async #bounded<T>(send: () => Promise<T>): Promise<T> {
    const untilMs = performance.now() + limits.redis.callMs;
    try {
      await this.#whenUsable(untilMs);
      const sentAtMs = performance.now();
      this.#silentSinceMs ??= sentAtMs;
      const answer = await within(untilMs - sentAtMs, send(), () => {
        const why = `no answer within ${limits.redis.callMs} ms`;
        // Nor to anybody else for long: this connection leads nowhere.
        if (performance.now() - (this.#silentSinceMs ?? sentAtMs) > limits.redis.silentMs) this.#leave(why);
        return new Error(why);
      });
      this.#silentSinceMs = undefined;
      return answer;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): OperatingError {
    const message = error instanceof Error ? plain(error) : String(error);
    const known = answers.find(([begin]) => message.startsWith(begin));
    if (known !== undefined || isReply(error)) this.#silentSinceMs = undefined;
    // It was the master when we connected.
    if (message.startsWith('READONLY')) this.#leave(`it ${known![1]}`);
    const what = known?.[1] ?? (this.#state === 'refused' ? this.#why : `cannot be used: ${message}`);
    const failure = new OperatingError('STORE_UNAVAILABLE', `the store ${this.name} ${what}`);
    if (this.#state !== 'closed') {
      this.#complain(what, (suppressed) => this.#options.log.warn({ suppressed }, failure.message));
    }
    return failure;
  }

  /** Resolves once commands may be sent; rejects with the next reason why not. */
  #whenUsable(untilMs: number): Promise<void> {
    if (this.#state === 'usable') return Promise.resolve();
    if (this.#state === 'refused') return Promise.reject(new Error(this.#why));
    if (this.#state === 'closed') return Promise.reject(new Error('it is closed here'));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (why: Error | undefined) => (why === undefined ? resolve() : reject(why));
    const waiting: Waiting = { attempt: this.#attempts + 1, settle };
    this.#waiting.add(waiting);
    const late = () => new Error(this.#why || 'no connection yet');
    return within(untilMs - performance.now(), promise, late).finally(() => this.#waiting.delete(waiting));
  }

  #settle(why: Error | undefined, attempt = Number.POSITIVE_INFINITY): void {
    for (const waiting of [...this.#waiting]) {
      if (waiting.attempt > attempt) continue;
      this.#waiting.delete(waiting);
      waiting.settle(why);
    }
  }

  // --- The connection ------------------------------------------------------------------------------------------------

  /** One that was opened and does not become usable is given up. */
  #watchFrom(): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      if (this.#state !== 'connecting') return;
      this.#leave(`no answer within ${limits.redis.silentMs} ms`);
    }, limits.redis.silentMs);
    this.#watch.unref();
  }

  /** Why: undefined when it was closed, for a reason that was given before or for none. */
  #lost(why: string | undefined): void {
    if (this.#state === 'closed') return;
    if (why !== undefined) this.#why = why;
    else if (this.#state === 'usable') this.#why = 'the connection was closed';
    if (!this.#isDown) this.#options.log.warn({}, `the store ${this.name} cannot be reached: ${this.#why}`);
    this.#isDown = true;
    this.#state = 'connecting';
    this.#silentSinceMs = undefined;
    this.#settle(new Error(this.#why), this.#attempts);
  }

  /** Gives this connection up for a new one. */
  #leave(why: string): void {
    this.#lost(why);
    if (this.#state !== 'closed') this.#client.disconnect(true);
  }

  /** Now and then; oftener while it is refused. */
  #look(): void {
    const isDue = performance.now() - this.#examinedAtMs >= limits.redis.examineMs;
    if (this.#state === 'refused' || (this.#state === 'usable' && isDue)) void this.#examine();
  }

  #examinedAtMs = 0;

  async #examine(): Promise<void> {
    this.#examinedAtMs = performance.now();
    let found: Suitability;
    try {
      const late = () => new Error(`no answer to INFO within ${limits.redis.callMs} ms`);
      found = await within(limits.redis.callMs, this.#info(), late);
    } catch (error) {
      // Where INFO alone is refused, who set that knows what he does.
      if (!(isReply(error) && plain(error).startsWith('NOPERM'))) {
        this.#leave(plain(error));
        return;
      }
      found = { warnings: ['does not let ufes see INFO: whether it evicts is not known'] };
    }
    if (this.#state === 'closed') return;
    this.#found = found;
    if (found.refusal !== undefined) this.#refuse(found.refusal, found.isPassing === true);
    else this.#use();
  }

  async #info(): Promise<Suitability> {
    const client = this.#client;
    const nodes: readonly Redis[] = 'nodes' in client ? client.nodes('master') : [client];
    const judged = await Promise.all(
      nodes.map(async (node) => judgeInfo(parseInfo(String(await node.callBuffer('info'))))),
    );
    return judged.find(({ refusal }) => refusal !== undefined) ?? judged[0] ?? { warnings: [] };
  }

  #refuse(why: string, isPassing: boolean): void {
    this.#complain(why, (suppressed) => this.#options.log.error({ suppressed }, `the store ${this.name} ${why}`));
    this.#isDown = true;
    this.#state = 'refused';
    this.#why = why;
    this.#settle(new Error(why));
    // By its name there may be another server by now.
    if (isPassing) setTimeout(() => this.#state === 'refused' && this.#client.disconnect(true), limits.redis.retryMs);
  }

  #use(): void {
    if (this.#state === 'usable') return;
    if (this.#isDown) this.#options.log.info({}, `the store ${this.name} is back`);
    this.#isDown = false;
    this.#state = 'usable';
    this.#settle(undefined);
  }
}

/** What Redis answers → what is wrong, and what would be right. */
const answers: readonly (readonly [begin: string, what: string])[] = [
  ['OOM', 'is full: raise maxmemory in redis.conf, or give it a machine with more'],
  ['READONLY', 'is a read-only replica: give ufes the address of its master, or of Sentinels (redis+sentinel://)'],
  ['MISCONF', 'cannot write to its disk, and takes no changes until it can: see its log'],
  ['NOAUTH', 'wants a password: redis://:PASSWORD@HOST'],
  ['WRONGPASS', 'does not know this user and password'],
  ['NOPERM', 'does not allow this user what ufes needs: docs/redis.md has the rules'],
  ['NOREPLICAS', 'has too few replicas that follow (min-replicas-to-write), and takes no changes until it has'],
  ['LOADING', 'still reads its data from disk'],
  ['MASTERDOWN', 'is a replica whose master is gone'],
  ['CLUSTERDOWN', 'is a Cluster of which a part is gone'],
  ['BUSY', 'runs a script of somebody else that does not end'],
];

/** Answered by Redis, as opposed to not answered. */
function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

/** An error of ioredis carries the command with its arguments, maybe a password: only its words go on. */
function plain(error: unknown): string {
  const lastly = error instanceof Error && 'lastNodeError' in error ? error.lastNodeError : undefined;
  if (lastly instanceof Error) return `${(error as Error).message} ${lastly.message}`;
  return describeError(error instanceof Error && error.message === '' ? error.name : error);
}

function sendable(argument: Argument): string | Buffer {
  if (typeof argument === 'string') return argument;
  if (typeof argument === 'number') return String(argument);
  return Buffer.from(argument.buffer, argument.byteOffset, argument.length);
}

/** As `promise`, or rejects with `late()` after `ms`. After a pause of this process, an answer that is there counts. */
function within<T>(ms: number, promise: Promise<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => setImmediate(() => reject(late()))), Math.max(ms, 0));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
