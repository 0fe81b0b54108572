/** Whom a query is answered for, and by which decision: the one way from subnet and resolver to a PoP, here and in explain. */
import { v4Blocks, v6Blocks } from '@ufes/core/dns/blocks.ts';
import {
  type ClientChoice,
  type ClientSubnet,
  chooseClient,
  foldPeer,
  isShort,
  moveClient,
} from '@ufes/core/dns/ecs.ts';
import type { Address, Peer } from '@ufes/core/ip.ts';
import { type Decision, decide, decidePinned } from '@ufes/core/steering/decide.ts';
import { findBusiest } from '@ufes/core/steering/demand.ts';
import type { PreparedService } from '@ufes/core/steering/prepare.ts';
import type { Tables } from './tables.ts';

/** Reused: the address of a resolver behind a translator. */
const folded: Address = { family: 4, hi: 0, lo: 0 };

/** Sets every field of `choice` and `decision`. `pinned`: candidate that the name itself names, or -1. No allocation. */
export function placeAndDecide(
  tables: Pick<Tables, 'live' | 'map'>,
  prepared: PreparedService,
  pinned: number,
  subnet: ClientSubnet,
  peer: Peer,
  choice: ClientChoice,
  decision: Decision,
): void {
  const resolver = foldPeer(peer, folded);
  chooseClient(subnet, resolver, choice);
  if (pinned >= 0) {
    decidePinned(prepared, choice, resolver, pinned, decision);
    return;
  }
  decide(prepared, tables.live, choice, resolver, decision);
  if (choice.bySubnet && decision.scoped && isShort(choice, decision.scope)) {
    placeBeneath(tables, prepared, choice, decision);
    decide(prepared, tables.live, choice, resolver, decision);
  }
}

/** The source is shorter than the leaf: the answer is that of the leaf beneath it with the most demand. */
function placeBeneath(
  { map }: Pick<Tables, 'map'>,
  { group, geo }: PreparedService,
  choice: ClientChoice,
  decision: Decision,
): void {
  const ranked = decision.geo ? geo : group;
  if (map === undefined || ranked === undefined) return;
  const isV4 = choice.client.family === 4;
  const index = isV4 ? ranked.v4 : ranked.v6;
  findBusiest(index, isV4 ? v4Blocks : v6Blocks, map.cells, map.pops.length, choice.length, choice.client);
  moveClient(choice, choice.client.hi, choice.client.lo);
}
