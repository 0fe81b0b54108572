/**
 * A thread that answers UDP: receive a batch → answer each → send the batch, in a loop that blocks in the system call and
 * never returns to an event loop. Between batches it looks, by one word of shared memory, whether the main thread has
 * something for it (hand-over.ts), reads one order at a time, and builds new tables a slice at a time beside the ones in
 * use.
 *
 * Sockets are opened and closed by the main thread: this one can end, fail or give way to another without a packet lost.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { headerBytes } from '@ufes/core/dns/message.ts';
import type { Peer } from '@ufes/core/ip.ts';
import { limits } from '@ufes/core/limits.ts';
import { type SteeringMap, withBuckets } from '@ufes/core/steering/map.ts';
import { decodeMap } from '@ufes/core/steering/map-bytes.ts';
import type { Version } from '@ufes/core/version.ts';
import { systemClock } from '@ufes/io/clock.ts';
import { stepForward, takeShortTurns } from '@ufes/io/priority.ts';
import { runFor, type Slices } from '@ufes/io/slices.ts';
import { MmsgSocket, Poller } from '@ufes/io/udp/mmsg.ts';
import { Answerer } from './answer.ts';
import { Counters } from './counters.ts';
import {
  Assembly,
  controlWord,
  type FromThread,
  type MapInService,
  type ThreadSocket,
  type ToThread,
  type WorkerInit,
} from './hand-over.ts';
import { readerOf } from './map-rest.ts';
import { RingWriter } from './ring.ts';
import { buildTablesInSlices, type Tables, withMapInSlices } from './tables.ts';
import { Wire } from './wire.ts';

const outBytes = (limits.dns.udpBytes + 7) & ~7;
/** Slots begin in different cache sets. */
const inBytes = limits.dns.queryBytes + 64;

class AnswerThread {
  readonly #control: Int32Array;
  readonly #counters: Counters;
  readonly #ring: RingWriter;
  readonly #answerer: Answerer;
  readonly #logEvery: number;
  readonly #peer: Peer = { family: 4, hi: 0, lo: 0, tailHi: 0, tailLo: 0 };
  #sockets: MmsgSocket[] = [];
  #poller: Poller | undefined;
  #ordersSeen = 0;
  #stopped = false;
  #assembly: Assembly | undefined;
  #building: Slices<Tables> | undefined;
  #map: SteeringMap | undefined;
  #mapVersion: Version | undefined;
  #mapNumber = 0;
  #labelsTold = 0;
  #sinceLogged = 0;
  #remembersAtMs = 0;
  #mayStillRemember = 0;
  /** Of the batch under way. */
  #nowMs = systemClock.nowMs();

  constructor(init: WorkerInit) {
    this.#control = new Int32Array(init.control);
    this.#counters = new Counters(init.counters);
    this.#ring = new RingWriter(init.ring, this.#counters);
    this.#logEvery = init.logEvery;
    this.#answerer = new Answerer({
      clock: { ...systemClock, nowMs: () => this.#nowMs },
      counters: this.#counters,
      recent: this.#ring,
      probes: this.#ring,
      wire: new Wire(init.wire, init.shared),
      samples: true,
    });
  }

  run(): void {
    while (!this.#stopped) {
      const isBusy = this.#building !== undefined || this.#hasOrders();
      if (this.#sockets.length === 1) this.#takeFrom(this.#sockets[0]!, !isBusy);
      else if (this.#poller !== undefined) this.#takeFromAny(this.#poller, isBusy ? 0 : limits.dns.idleThreadMs);
      else if (!isBusy) Atomics.wait(this.#control, controlWord.orders, this.#ordersSeen, limits.dns.idleThreadMs);
      if (this.#building !== undefined) this.#build(this.#building);
      else if (this.#hasOrders()) this.#readOrder();
    }
  }

  // --- Answering -----------------------------------------------------------------------------------------------------

  #takeFromAny(poller: Poller, waitMs: number): void {
    if (!poller.wait(waitMs)) return;
    for (let i = 0; i < this.#sockets.length; i++) if (poller.isReadable(i)) this.#takeFrom(this.#sockets[i]!, false);
  }

  #takeFrom(socket: MmsgSocket, wait: boolean): void {
    const count = socket.receive(wait);
    if (count === 0) return;
    this.#nowMs = systemClock.nowMs();
    this.#answerer.remembers = this.#mayRemember();
    for (let slot = 0; slot < count; slot++) {
      // Of one that is too long, cut or not, the header alone is taken: FORMERR, or silence.
      const received = socket.length[slot]!;
      const length = received < 0 || received > limits.dns.queryBytes ? headerBytes : received;
      readPeer(socket.names, slot * 32, this.#peer);
      const at = slot * inBytes;
      const to = slot * outBytes;
      const answered = this.#answerer.answerInto(socket.in, at, length, this.#peer, socket.out, to);
      socket.outLength[slot] = answered;
      if (this.#logEvery > 0 && ++this.#sinceLogged >= this.#logEvery) {
        this.#sinceLogged = 0;
        this.#ring.addExchange(this.#nowMs, this.#peer, socket.in, at, length, socket.out, to, answered);
      }
    }
    const failed = socket.sendErrors;
    socket.send();
    this.#counters.sendErrors += socket.sendErrors - failed;
  }

  /** One steered answer of a batch, within a budget: all in quiet times, a sample under load. */
  #mayRemember(): boolean {
    const { perMs, most } = limits.dns.remembered;
    const sinceMs = Math.max(0, this.#nowMs - this.#remembersAtMs);
    this.#remembersAtMs = this.#nowMs;
    this.#mayStillRemember = Math.min(most, this.#mayStillRemember + perMs * sinceMs);
    if (this.#mayStillRemember < 1) return false;
    this.#mayStillRemember--;
    return true;
  }

  // --- Orders --------------------------------------------------------------------------------------------------------

  #hasOrders(): boolean {
    return Atomics.load(this.#control, controlWord.orders) !== this.#ordersSeen;
  }

  #readOrder(): void {
    const received = receiveMessageOnPort(parentPort!);
    if (received === undefined) return;
    this.#ordersSeen = (this.#ordersSeen + 1) | 0;
    const order = received.message as ToThread;
    if (order.order === 'desired') this.#assembly = new Assembly(order.head, order.live);
    else if (order.order === 'records') this.#assembly!.addRecords(order.zone, order.records);
    else if (order.order === 'services') this.#assembly!.addServices(order.services);
    else if (order.order === 'serve') this.#serveDesired(this.#assembly!);
    else if (order.order === 'map') this.#serveMap(order.map);
    else if (order.order === 'sockets') this.#open(order.sockets);
    else this.#stopped = true;
  }

  #serveDesired(assembly: Assembly): void {
    this.#assembly = undefined;
    this.#startBuilding(assembly.finish(), assembly.live);
  }

  #serveMap({ number, bytes, buckets, version, rest }: MapInService): void {
    this.#map = withBuckets(decodeMap(bytes, { checked: true, rest: readerOf(rest) }), buckets);
    this.#mapVersion = version;
    this.#mapNumber = number;
    const { tables } = this.#answerer;
    if (tables === undefined) this.#leaveOlderMaps();
    else this.#building = withMapInSlices(tables, this.#map, version);
  }

  #startBuilding(desired: Tables['desired'], live: Tables['live']): void {
    const { answers: counts } = this.#counters;
    this.#building = buildTablesInSlices({ desired, live, map: this.#map, mapVersion: this.#mapVersion, counts });
  }

  #build(work: Slices<Tables>): void {
    const built = runFor(work, limits.dns.sliceMs, systemClock.monotonicMs);
    if (built === undefined) return;
    this.#building = undefined;
    this.#answerer.tables = built.value;
    this.#leaveOlderMaps();
    const { values, labels } = this.#counters.answers;
    if (labels.length === this.#labelsTold) return;
    this.#labelsTold = labels.length;
    tell({ report: 'counts', values, labels });
  }

  /** From now on nothing here leads to another map than the last one received. */
  #leaveOlderMaps(): void {
    Atomics.store(this.#control, controlWord.map, this.#mapNumber);
  }

  #open(sockets: readonly ThreadSocket[]): void {
    this.#sockets = sockets.map(
      ({ fd, address }) => new MmsgSocket({ fd, address, batch: limits.dns.batch, inBytes, outBytes }),
    );
    this.#poller = sockets.length > 1 ? new Poller(sockets.map(({ fd }) => fd)) : undefined;
    tell({ report: 'answering' });
  }
}

/** struct sockaddr_in or sockaddr_in6 at `at`; the family stands first, little-endian. */
function readPeer(names: Uint8Array, at: number, peer: Peer): void {
  if (names[at] === 2) {
    peer.family = 4;
    peer.hi = word(names, at + 4);
    peer.lo = 0;
    peer.tailHi = 0;
    peer.tailLo = 0;
    return;
  }
  peer.family = 6;
  peer.hi = word(names, at + 8);
  peer.lo = word(names, at + 12);
  peer.tailHi = word(names, at + 16);
  peer.tailLo = word(names, at + 20);
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function tell(report: FromThread): void {
  parentPort!.postMessage(report);
}

stepForward(limits.dns.threadStepsForward);
takeShortTurns(limits.dns.threadTurnUs);
new AnswerThread(workerData as WorkerInit).run();
