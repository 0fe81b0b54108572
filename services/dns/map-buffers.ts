/**
 * Shared memory of maps, used again: threads make so little garbage that their engine would keep maps that went out of
 * service by the dozen, and to collect them by force takes a thread 20 ms. A buffer is
 *
 *     spare ── take ──▶ being filled ── serve ──▶ a map's ── nobody reads that map or older ones any more ──▶ spare
 *                            └──── the next take: it did not come into service ────▶
 *
 * Who reads what is asked when a buffer is wanted. Maps have numbers, which rise; readers go from one to a newer one.
 */
import { limits } from '@ufes/core/limits.ts';

/** Sizes are multiples of this. */
const roomStep = 64 << 10;

export class MapBuffers {
  readonly #oldestRead: () => number;
  #spare: readonly SharedArrayBuffer[] = [];
  #filling: readonly SharedArrayBuffer[] = [];
  #served: readonly { readonly buffer: SharedArrayBuffer; readonly number: number }[] = [];

  /** `oldestRead`: no map with a lower number is read by anybody, now or later. */
  constructor(oldestRead: () => number) {
    this.#oldestRead = oldestRead;
  }

  /** At least so many bytes, which may hold anything. One map is filled at a time, by one buffer from here. */
  readonly take = (bytes: number): SharedArrayBuffer => {
    const oldest = this.#oldestRead();
    const isLeft = ({ number }: { number: number }) => number < oldest;
    const left = this.#served.filter(isLeft).map(({ buffer }) => buffer);
    this.#served = this.#served.filter((one) => !isLeft(one));
    const room = roomFor(bytes);
    const fitting = [...this.#spare, ...this.#filling, ...left]
      .filter(({ byteLength }) => byteLength >= bytes && byteLength <= limits.dns.mapRoomMost * room)
      .sort((a, b) => a.byteLength - b.byteLength);
    const buffer = fitting.shift() ?? new SharedArrayBuffer(room);
    this.#spare = fitting.slice(0, limits.dns.spareMaps);
    this.#filling = [buffer];
    return buffer;
  };

  /** What was taken is read as map `number` from now on. */
  serve(number: number): void {
    this.#served = [...this.#served, ...this.#filling.map((buffer) => ({ buffer, number }))];
    this.#filling = [];
  }
}

function roomFor(bytes: number): number {
  return Math.ceil((bytes * (1 + limits.dns.mapSlack)) / roomStep) * roomStep;
}
