/**
 * Many small byte blocks that come, grow and go, in a few large arrays: no object, no pointer and no garbage a block.
 *
 *     sizes    16, 32, …, 128, 144, 160, …, 256, 288, …      eight steps from each power of two to the next
 *     address  bytes from the start, by steps of 16; a block does not reach over the end of a chunk
 */

const step = 16;
const chunkSteps = 2 ** 19;
/** Eight megabytes. */
const chunkBytes = chunkSteps * step;

/** Number of the least size that holds `length` bytes. */
function sizeOf(length: number): number {
  const steps = Math.max(1, Math.ceil(length / step));
  if (steps <= 8) return steps - 1;
  const power = 31 - Math.clz32(steps - 1);
  return 8 * (power - 2) + ((steps - 1) >>> (power - 3)) - 8;
}

/** Steps in a block of that size. */
function stepsOf(size: number): number {
  if (size < 8) return size + 1;
  const power = Math.floor(size / 8) + 2;
  return ((size % 8) + 9) * 2 ** (power - 3);
}

export class Arena {
  readonly #chunks: Uint8Array[] = [];
  /** Steps of the last chunk that are in use. */
  #used = chunkSteps;
  /** Addresses of free blocks by size. */
  readonly #free: number[][] = [];
  #freeSteps = 0;

  /** Bytes that are held, used or not. */
  get bytes(): number {
    return this.#chunks.length * chunkBytes;
  }

  /** Bytes in free blocks. */
  get freeBytes(): number {
    return this.#freeSteps * step;
  }

  /** Bytes that a block for `length` has. */
  room(length: number): number {
    return length === 0 ? 0 : stepsOf(sizeOf(length)) * step;
  }

  /** A block with room for `length` bytes, at least one; what is in it is undefined. */
  take(length: number): number {
    const size = sizeOf(length);
    const steps = stepsOf(size);
    const own = this.#free[size]?.pop();
    if (own !== undefined) {
      this.#freeSteps -= steps;
      return own;
    }
    return this.#split(size, steps) ?? this.#fresh(steps);
  }

  /** `length` as it was taken. */
  give(address: number, length: number): void {
    this.#put(address, stepsOf(sizeOf(length)));
  }

  /** The array that holds an address, which is at `at(address)` there. */
  chunk(address: number): Uint8Array {
    return this.#chunks[Math.floor(address / chunkSteps)]!;
  }

  at(address: number): number {
    return (address % chunkSteps) * step;
  }

  /** From a larger block that is free: the rest of it stays so. */
  #split(size: number, steps: number): number | undefined {
    for (let larger = size + 1; larger < this.#free.length; larger++) {
      const address = this.#free[larger]?.pop();
      if (address === undefined) continue;
      const all = stepsOf(larger);
      this.#freeSteps -= all;
      this.#put(address + steps, all - steps);
      return address;
    }
    return undefined;
  }

  #fresh(steps: number): number {
    if (this.#used + steps > chunkSteps) {
      if (this.#chunks.length > 0)
        this.#put(this.#chunks.length * chunkSteps - chunkSteps + this.#used, chunkSteps - this.#used);
      this.#chunks.push(new Uint8Array(chunkBytes));
      this.#used = 0;
    }
    const address = (this.#chunks.length - 1) * chunkSteps + this.#used;
    this.#used += steps;
    return address;
  }

  /** Frees steps as the largest blocks that fit into them. */
  #put(address: number, steps: number): void {
    let [from, left] = [address, steps];
    while (left > 0) {
      let size = sizeOf(left * step);
      if (stepsOf(size) > left) size--;
      this.#free[size] ??= [];
      this.#free[size]!.push(from);
      const part = stepsOf(size);
      this.#freeSteps += part;
      from += part;
      left -= part;
    }
  }
}
