/**
 * The metros with evidence that are nearest to each metro. One that comes to be known is told to those it is near to; whole
 * blocks of metros that all have nearer ones are passed over.
 *
 *     block   metros of one cube of a grid through the globe: their middle, and how far from it they lie
 *             least: cosine of the distance beyond which none of them looks
 */
import { distanceKm } from './base.ts';
import { groupBy, type Metros } from './spots.ts';

/** Metros that a metro remembers as its nearest with evidence: not each has some of every PoP. */
const remembered = 24;
/** Cubes along each axis. */
const cubes = 24;
/** What rounding may take from a cosine. */
const rounding = 1e-6;

export class NearMetros {
  readonly #metros: Metros;
  readonly #isKnown: Uint8Array;
  /** By metro: its nearest metros with evidence, nearest first; -1: none. */
  readonly #near: Int32Array;
  readonly #km: Float32Array;
  /** By metro, cosine of a distance beyond the last of its nearest: what is farther need not be measured. */
  readonly #cosine: Float64Array;
  readonly #blocks: { readonly first: Uint32Array; readonly items: Uint32Array };
  /** By block: middle, cosine and sine of the distance of its farthest metro from it. */
  readonly #middle: Float64Array;
  readonly #reach: Float64Array;
  readonly #least: Float64Array;

  constructor(metros: Metros) {
    const { count, vectors } = metros;
    this.#metros = metros;
    this.#isKnown = new Uint8Array(count);
    this.#near = new Int32Array(count * remembered).fill(-1);
    this.#km = new Float32Array(count * remembered).fill(Number.POSITIVE_INFINITY);
    this.#cosine = new Float64Array(count).fill(-2);
    const numbers = new Map<number, number>();
    const blockOf = new Int32Array(count);
    const along = (axis: number) => Math.floor((axis + 1) * 0.5 * cubes);
    for (let metro = 0; metro < count; metro++) {
      const [x, y, z] = [vectors[3 * metro]!, vectors[3 * metro + 1]!, vectors[3 * metro + 2]!];
      const cube = (along(x) * 2 * cubes + along(y)) * 2 * cubes + along(z);
      if (!numbers.has(cube)) numbers.set(cube, numbers.size);
      blockOf[metro] = numbers.get(cube)!;
    }
    this.#blocks = groupBy(blockOf, numbers.size);
    this.#middle = new Float64Array(3 * numbers.size);
    this.#reach = new Float64Array(2 * numbers.size);
    this.#least = new Float64Array(numbers.size).fill(-2);
    for (let block = 0; block < numbers.size; block++) this.#measure(block);
  }

  #measure(block: number): void {
    const { first, items } = this.#blocks;
    const { vectors } = this.#metros;
    const sum = [0, 0, 0];
    for (let i = first[block]!; i < first[block + 1]!; i++) {
      for (let axis = 0; axis < 3; axis++) sum[axis]! += vectors[3 * items[i]! + axis]!;
    }
    const length = Math.hypot(...sum);
    for (let axis = 0; axis < 3; axis++) this.#middle[3 * block + axis] = sum[axis]! / length;
    let cosine = 1;
    for (let i = first[block]!; i < first[block + 1]!; i++) {
      cosine = Math.min(cosine, this.#dot(block, 3 * items[i]!));
    }
    this.#reach[2 * block] = cosine;
    this.#reach[2 * block + 1] = Math.sqrt(1 - cosine * cosine);
  }

  #dot(block: number, at: number): number {
    const { vectors } = this.#metros;
    const middle = this.#middle;
    return (
      middle[3 * block]! * vectors[at]! +
      middle[3 * block + 1]! * vectors[at + 1]! +
      middle[3 * block + 2]! * vectors[at + 2]!
    );
  }

  /** Calls for each, nearest first. */
  forEach(metro: number, visit: (near: number, km: number) => void): void {
    for (let i = metro * remembered; i < (metro + 1) * remembered && this.#near[i]! >= 0; i++) {
      visit(this.#near[i]!, this.#km[i]!);
    }
  }

  /** One of those is among its nearest; `marked`: by metro, 1. */
  hasNear(metro: number, marked: Uint8Array): boolean {
    for (let i = metro * remembered; i < (metro + 1) * remembered && this.#near[i]! >= 0; i++) {
      if (marked[this.#near[i]!] === 1) return true;
    }
    return false;
  }

  /** Makes a metro one of the nearest of those around it. */
  announce(metro: number): void {
    if (this.#isKnown[metro] === 1) return;
    this.#isKnown[metro] = 1;
    for (let block = 0; block < this.#least.length; block++) {
      if (this.#nearest(block, metro) >= this.#least[block]!) this.#tell(block, metro);
    }
  }

  /** Cosine of a distance that no metro of the block is nearer than. */
  #nearest(block: number, metro: number): number {
    const dot = this.#dot(block, 3 * metro);
    const [cosine, sine] = [this.#reach[2 * block]!, this.#reach[2 * block + 1]!];
    return dot >= cosine - rounding ? 2 : dot * cosine + Math.sqrt(Math.max(0, 1 - dot * dot)) * sine + 4 * rounding;
  }

  #tell(block: number, metro: number): void {
    const { first, items } = this.#blocks;
    const { vectors } = this.#metros;
    const [x, y, z] = [vectors[3 * metro]!, vectors[3 * metro + 1]!, vectors[3 * metro + 2]!];
    let least = 2;
    for (let i = first[block]!; i < first[block + 1]!; i++) {
      const other = items[i]!;
      const cosine = x * vectors[3 * other]! + y * vectors[3 * other + 1]! + z * vectors[3 * other + 2]!;
      if (cosine >= this.#cosine[other]!) this.#put(other, metro);
      if (this.#cosine[other]! < least) least = this.#cosine[other]!;
    }
    this.#least[block] = least;
  }

  #put(other: number, metro: number): void {
    const { vectors } = this.#metros;
    const end = (other + 1) * remembered - 1;
    const km = distanceKm(vectors, other, vectors, metro);
    if (km >= this.#km[end]!) return;
    let at = end;
    for (; at > other * remembered && this.#km[at - 1]! > km; at--) {
      this.#near[at] = this.#near[at - 1]!;
      this.#km[at] = this.#km[at - 1]!;
    }
    this.#near[at] = metro;
    this.#km[at] = km;
    this.#cosine[other] = cosineBeyond(this.#km[end]!);
  }
}

/** A cosine that is surely below that of the distance, rounding and all. */
function cosineBeyond(km: number): number {
  return km === Number.POSITIVE_INFINITY ? -2 : Math.cos(km / 6_371) - rounding;
}
