/** What a prediction is made from (plan.ts): two states of things, the clients, and what edges and dns nodes tell now. */
import type { DesiredState } from '../desired.ts';
import type { LiveState } from '../live.ts';
import type { GroupCosts } from './judging.ts';
import type { SteeringMap } from './map.ts';

/** What of a desired state decides where clients go. */
export type PlanState = Pick<DesiredState, 'pops' | 'origins' | 'services' | 'probe'> & {
  readonly room?: DesiredState['room'];
  /** Origins of its zones; absent: not told. */
  readonly zones?: readonly { readonly origin: string }[];
};

export interface PlanSide {
  readonly desired: PlanState;
  readonly map: SteeringMap | undefined;
  /** By group key. */
  readonly costs: ReadonlyMap<string, GroupCosts>;
  /** By PoP id; those that are not named take clients. */
  readonly states: ReadonlyMap<string, LiveState>;
}

/** Cells (/24, /48), by number. */
export interface PlanClients {
  readonly count: number;
  readonly family: ArrayLike<number>;
  readonly hi: ArrayLike<number>;
  readonly lo: ArrayLike<number>;
  /** In any unit. */
  readonly demand: ArrayLike<number>;
  /** ISO code; empty: not known. */
  country(client: number): string;
  /** Estimated round trip, milliseconds; NaN: none. */
  clientMs(client: number, pop: string): number;
}

export interface PlanInput {
  readonly before: PlanSide;
  readonly after: PlanSide;
  readonly clients: PlanClients;
  readonly nowMs: number;
  /** What edges say they carry now, by PoP id; PoPs that do not tell are absent. */
  readonly requestsPerSecond: ReadonlyMap<string, number>;
  /** Shares of their cells that full PoPs keep now, by id. */
  readonly keeps: Readonly<Record<string, number>>;
}
