/**
 * Answers of the past: the tables that a dns node answered by, put together again from what was kept (shared/io/history.ts)
 * by the code that puts them together now.
 *
 *     journal of the node ─▶ live state, versions applied ─▶ desired state, map ─▶ Tables ─▶ explain, answer again
 */
import type { DesiredState } from '@ufes/core/desired.ts';
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { viewOf } from '@ufes/core/live-facts.ts';
import type { Store } from '@ufes/core/ports.ts';
import type { Explanation } from '@ufes/core/steering/explanation.ts';
import type { SteeringMap } from '@ufes/core/steering/map.ts';
import { parseVersion, type Version } from '@ufes/core/version.ts';
import { type LiveThen, openHistory } from '@ufes/io/history.ts';
import { oldestKept } from '@ufes/io/history-since.ts';
import { AnswerAgain } from './again.ts';
import { AnswerCounts } from './counters.ts';
import { type ExplainQuestion, explain } from './explain-question.ts';
import { knownThen } from './known.ts';
import { buildTables, type Tables } from './tables.ts';
import type { WireOptions } from './wire.ts';

export interface PastInit {
  readonly store: Store;
  readonly state: string;
  readonly wire: WireOptions;
}

export interface Then {
  readonly tables: Tables;
  readonly live: LiveThen;
}

export class Past {
  readonly again: AnswerAgain;
  readonly #init: PastInit;
  readonly #history;
  readonly #counts = new AnswerCounts();
  /** The last ones asked for: questions come in clusters, and maps may be large. */
  #desired: { text: string; desired: DesiredState } | undefined;
  #map: { text: string; map: SteeringMap; version: Version } | undefined;
  #tables: Tables | undefined;

  constructor(init: PastInit) {
    this.#init = init;
    this.#history = openHistory(init);
    this.again = new AnswerAgain(init.wire);
  }

  /** Rejects with NOT_FOUND, which says from when on there is something. */
  async explain(question: ExplainQuestion, node: string, atMs: number): Promise<Explanation> {
    const { tables, live } = await this.at(node, atMs);
    const said = explain(tables, question, knownThen(live, atMs), this.again);
    if (typeof said === 'string') throw new OperatingError('NOT_FOUND', said);
    return said;
  }

  /** What the node answered by. */
  async at(node: string, atMs: number): Promise<Then> {
    const live = await this.#history.liveAt(node, atMs);
    if (live === undefined) throw await this.#nothing(node, atMs);
    const desired = await this.#desiredOf(live.applied.desired);
    if (desired === undefined) {
      throw new OperatingError(
        'NOT_FOUND',
        await this.#unkept('desired state', 'desired', live.applied.desired, node, atMs),
      );
    }
    const map = live.applied.map === undefined ? undefined : await this.#mapOf(live.applied.map);
    if (map === undefined && live.applied.map !== undefined) {
      throw new OperatingError('NOT_FOUND', await this.#unkept('map', 'map', live.applied.map, node, atMs));
    }
    return { tables: this.#build(desired, map, live), live };
  }

  #build(desired: DesiredState, map: { map: SteeringMap; version: Version } | undefined, live: LiveThen): Tables {
    const before = this.#tables;
    const view = viewOf(live.facts, desired);
    if (before !== undefined && before.desired === desired && before.map === map?.map) return { ...before, live: view };
    const names = before?.desired === desired ? { names: before.names } : {};
    this.#tables = buildTables({
      desired,
      map: map?.map,
      mapVersion: map?.version,
      live: view,
      counts: this.#counts,
      ...names,
    });
    return this.#tables;
  }

  async #desiredOf(text: string | undefined): Promise<DesiredState | undefined> {
    if (text === undefined) return undefined;
    if (this.#desired?.text === text) return this.#desired.desired;
    const found = await this.#history.desiredOf(parseVersion(text)!);
    if (found !== undefined) this.#desired = { text, desired: found.desired };
    return found?.desired;
  }

  async #mapOf(text: string): Promise<{ map: SteeringMap; version: Version } | undefined> {
    if (this.#map?.text === text) return this.#map;
    // Two large ones at once would be one too many.
    this.#map = undefined;
    this.#tables = undefined;
    const found = await this.#history.mapOf(parseVersion(text)!);
    if (found === undefined) return undefined;
    this.#map = { text, ...found };
    return this.#map;
  }

  async #nothing(node: string, atMs: number): Promise<OperatingError> {
    const at = new Date(atMs).toISOString();
    const sinceMs = await oldestKept(this.#init.store.history, `live/${node}`);
    if (sinceMs === undefined) {
      const nodes = await this.#history.nodes();
      const kept = nodes.length === 0 ? 'none is kept of any' : `they are kept of ${nodes.join(', ')}`;
      return new OperatingError('NOT_FOUND', `no answers of a dns node "${node}" are kept; ${kept}`);
    }
    const from = new Date(sinceMs).toISOString();
    const why =
      atMs < sinceMs
        ? `the past of ${node} is kept from ${from} on, for ${Math.round(limits.history.keptMs / 86_400_000)} days at most`
        : `there is a gap: ${node} did not run, or could not reach the store`;
    return new OperatingError('NOT_FOUND', `nothing is kept for ${at}: ${why}`);
  }

  async #unkept(
    what: string,
    stream: string,
    version: string | undefined,
    node: string,
    atMs: number,
  ): Promise<string> {
    const at = new Date(atMs).toISOString();
    if (version === undefined) return `${node} had no ${what} at ${at}, and answered SERVFAIL`;
    const sinceMs = await oldestKept(this.#init.store.history, stream);
    const kept = sinceMs === undefined ? 'none is' : `they are from ${new Date(sinceMs).toISOString()} on`;
    return `${node} answered by ${what} ${version} at ${at}, which is not kept any more; ${kept}`;
  }
}
