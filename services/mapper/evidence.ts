/**
 * The evidence in memory: packed sketches as the store holds them, those of one prefix side by side in one block of an
 * arena. What a key has beside its prefix (target, kind, source) is the same for all prefixes: a number.
 *
 *     192.0.2.0/24 ─▶ │ 3 │ 61 │ sketch … │ 4 │ 74 │ sketch … │ 0 │ 58 │ sketch … │
 *                       └─ pop:lon|browser|rum         └─ number of the rest of the key, bytes of the sketch
 *
 * Some 25 bytes a prefix and 2 a key are all there is beside the sketches themselves.
 */
import { type Family, formatPrefix, type Prefix, parsePrefix } from '@ufes/core/ip.ts';
import type { EvidenceRow } from '@ufes/core/ports.ts';
import { shardOf } from '@ufes/core/samples.ts';
import { type QuantileBounds, Sketch } from '@ufes/core/sketch/sketch.ts';
import { putVarint, Varints } from '@ufes/core/sketch/varint.ts';
import { CellIndex, widened } from '@ufes/core/steering/cell-index.ts';
import { statistic } from '@ufes/core/steering/estimate.ts';
import { Arena } from './arena.ts';
import { quarantineKind } from './record.ts';

/** What a key says beside its prefix. */
export interface KeyRest {
  /** `pop:ID` or `origin:ID`. */
  readonly target: string;
  readonly kind: string;
  readonly source: string;
}

/** Where a sketch stands; `bytes` is the arena's: valid until the table changes. */
interface Entry {
  /** Number of the rest of its key. */
  rest: number;
  bytes: Uint8Array;
  from: number;
  end: number;
}

const none = new Uint8Array(0);

export class EvidenceTable {
  /** By the rest of a key; its number is its place. */
  readonly rests: KeyRest[] = [];
  readonly #restTexts: string[] = [];
  readonly #restNumbers = new Map<string, number>();
  readonly #prefixes = new CellIndex();
  #shard = new Uint8Array(0);
  /** Of the prefix's block: its address in the arena, and the bytes in use. */
  #address = new Uint32Array(0);
  #used = new Uint32Array(0);
  readonly #arena = new Arena();
  readonly #varints = new Varints();
  readonly #header = new Uint8Array(16);
  /** Rests of the rows at hand. */
  readonly #run: number[] = [];
  readonly #entry: Entry = { rest: 0, bytes: none, from: 0, end: 0 };
  readonly #scratch = new Sketch();
  #measured = 0;
  #keys = 0;
  #bytes = 0;

  /** That have evidence. */
  get prefixes(): number {
    return this.#measured;
  }

  get keys(): number {
    return this.#keys;
  }

  /** Of the sketches. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Held for them, with what stands beside them and what is free in between. */
  get bytesHeld(): number {
    const { length } = this.#prefixes.hi;
    return this.#arena.bytes + length * (1 + 4 + 4 + 1 + 4 + 4 + 8);
  }

  has(prefix: string): boolean {
    const number = this.numberOf(prefix);
    return number >= 0 && this.#used[number]! > 0;
  }

  /** Numbers of prefixes are below this; some may have no evidence any more. */
  get numbers(): number {
    return this.#prefixes.count;
  }

  /** Number of a prefix, -1: it never had evidence. */
  numberOf(prefix: string): number {
    const cell = parsePrefix(prefix);
    return cell === undefined ? -1 : this.#prefixes.find(cell.family, cell.hi, cell.lo);
  }

  prefixOf(number: number): Prefix {
    const { family: families, hi, lo } = this.#prefixes;
    const family: Family = families[number] === 4 ? 4 : 6;
    return { family, hi: hi[number]!, lo: lo[number]!, length: family === 4 ? 24 : 48 };
  }

  /** Numbers in the order of addresses: what is looked up for one prefix is at hand for the next. */
  inOrder(): readonly Uint32Array[] {
    return [this.#prefixes.inOrder(4), this.#prefixes.inOrder(6)];
  }

  prefixText(number: number): string {
    return formatPrefix(this.prefixOf(number));
  }

  *prefixTexts(): Iterable<string> {
    for (let number = 0; number < this.numbers; number++) if (this.#used[number]! > 0) yield this.prefixText(number);
  }

  /** The packed sketch of a key; a copy. */
  get(key: string): Uint8Array | undefined {
    const bar = key.indexOf('|');
    const rest = this.#restNumbers.get(key.slice(bar + 1));
    const number = this.numberOf(key.slice(0, bar));
    if (rest === undefined || number < 0) return undefined;
    const entry = this.#find(number, rest);
    return entry === undefined ? undefined : entry.bytes.slice(entry.from, entry.end);
  }

  /** Calls for each sketch of a prefix; what is handed over is valid until the next call. */
  forEach(number: number, visit: (entry: Readonly<Entry>) => void): void {
    const used = this.#used[number]!;
    if (used === 0) return;
    const address = this.#address[number]!;
    const bytes = this.#arena.chunk(address);
    const entry = this.#entry;
    const end = this.#arena.at(address) + used;
    for (let at = this.#arena.at(address); at < end; at = entry.end) {
      this.#readAt(bytes, at, end);
      visit(entry);
    }
  }

  /** Takes rows over; the prefixes they are of. */
  apply(rows: readonly EvidenceRow[]): Set<string> {
    const changed = new Set<string>();
    for (let i = 0, end = 0; i < rows.length; i = end) {
      const prefix = rows[i]!.key.slice(0, rows[i]!.key.indexOf('|') + 1);
      for (end = i + 1; end < rows.length && rows[end]!.key.startsWith(prefix); ) end++;
      const text = prefix.slice(0, -1);
      const number = this.#numberFor(text);
      // A store's key of no prefix cannot be steered by.
      if (number < 0) continue;
      this.#putRun(number, prefix.length, rows, i, end);
      changed.add(text);
    }
    return changed;
  }

  /** Rows of one prefix, side by side. Where there are none yet, all at once: a block that grows leaves others behind. */
  #putRun(number: number, keyAt: number, rows: readonly EvidenceRow[], from: number, end: number): void {
    const rests = this.#run;
    rests.length = 0;
    let length = 0;
    for (let i = from; i < end; i++) {
      const rest = this.#restFor(rows[i]!.key.slice(keyAt));
      const { bytes } = rows[i]!;
      if (bytes.length === 0 || rests.includes(rest)) length = Number.NaN;
      length += this.#headerOf(rest, bytes.length) + bytes.length;
      rests.push(rest);
    }
    if (this.#used[number]! > 0 || Number.isNaN(length)) {
      for (let i = from; i < end; i++) this.#put(number, rests[i - from]!, rows[i]!.bytes);
      return;
    }
    const address = this.#arena.take(length);
    const chunk = this.#arena.chunk(address);
    let at = this.#arena.at(address);
    for (let i = from; i < end; i++) {
      const { bytes } = rows[i]!;
      const header = this.#headerOf(rests[i - from]!, bytes.length);
      for (let byte = 0; byte < header; byte++) chunk[at++] = this.#header[byte]!;
      chunk.set(bytes, at);
      at += bytes.length;
      this.#bytes += bytes.length;
    }
    this.#keys += end - from;
    this.#measured++;
    this.#address[number] = address;
    this.#used[number] = length;
  }

  /** Puts `rows` in place of all that is held of a shard; the prefixes that differ. */
  replace(shard: number, rows: readonly EvidenceRow[]): Set<string> {
    if (!this.#holds(shard)) return this.apply(rows);
    const changed = new Set<string>();
    const given = new Set(rows.map(({ key }) => key));
    for (let number = 0; number < this.numbers; number++) {
      if (this.#shard[number] !== shard || this.#used[number] === 0) continue;
      const prefix = this.prefixText(number);
      const gone: number[] = [];
      this.forEach(number, ({ rest }) => {
        if (!given.has(`${prefix}|${this.#restTexts[rest]}`)) gone.push(rest);
      });
      for (const rest of gone) this.#put(number, rest, none);
      if (gone.length > 0) changed.add(prefix);
    }
    const news = rows.filter(({ key, bytes }) => !sameBytes(this.get(key), bytes));
    for (const prefix of this.apply(news)) changed.add(prefix);
    return changed;
  }

  #holds(shard: number): boolean {
    for (let number = 0; number < this.numbers; number++) {
      if (this.#shard[number] === shard && this.#used[number]! > 0) return true;
    }
    return false;
  }

  /** One target alone, of the kind with most samples; undefined when it was never measured. */
  target(prefix: string, target: string, sources: ReadonlySet<string>, nowMs: number): QuantileBounds | undefined {
    const number = this.numberOf(prefix);
    if (number < 0) return undefined;
    const kinds = new Map<string, Sketch>();
    this.forEach(number, ({ rest, bytes, from, end }) => {
      const { target: of, kind, source } = this.rests[rest]!;
      if (of !== target || kind === quarantineKind || !sources.has(source)) return;
      const sketch = Sketch.decode(bytes.subarray(from, end));
      kinds.set(kind, kinds.get(kind)?.merge(sketch) ?? sketch);
    });
    const most = [...kinds.values()].filter(({ count }) => count > 0).sort((a, b) => b.count - a.count)[0];
    return most && statistic(most, nowMs).own;
  }

  #numberFor(prefix: string): number {
    const cell = parsePrefix(prefix);
    if (cell === undefined) return -1;
    const known = this.#prefixes.find(cell.family, cell.hi, cell.lo);
    if (known >= 0) return known;
    const number = this.#prefixes.add(cell.family, cell.hi, cell.lo);
    this.#shard = widened(this.#shard, number + 1);
    this.#address = widened(this.#address, number + 1);
    this.#used = widened(this.#used, number + 1);
    this.#shard[number] = shardOf(prefix);
    return number;
  }

  #restFor(text: string): number {
    const known = this.#restNumbers.get(text);
    if (known !== undefined) return known;
    const [target = '', kind = '', source = ''] = text.split('|');
    this.rests.push({ target, kind, source });
    this.#restTexts.push(text);
    this.#restNumbers.set(text, this.rests.length - 1);
    return this.rests.length - 1;
  }

  #find(number: number, rest: number): Entry | undefined {
    const address = this.#address[number]!;
    const used = this.#used[number]!;
    if (used === 0) return undefined;
    const bytes = this.#arena.chunk(address);
    const end = this.#arena.at(address) + used;
    for (let at = this.#arena.at(address); at < end; at = this.#entry.end) {
      this.#readAt(bytes, at, end);
      if (this.#entry.rest === rest) return this.#entry;
    }
    return undefined;
  }

  #readAt(bytes: Uint8Array, at: number, end: number): void {
    const [varints, entry] = [this.#varints, this.#entry];
    varints.bytes = bytes;
    varints.at = at;
    varints.end = end;
    entry.bytes = bytes;
    entry.rest = varints.next();
    const length = varints.next();
    entry.from = varints.at;
    entry.end = varints.at + length;
  }

  /** Sets one sketch of a prefix; of no bytes: takes it away. */
  #put(number: number, rest: number, sketch: Uint8Array): void {
    const before = this.#used[number]!;
    const address = this.#address[number]!;
    const [chunk, start] = before === 0 ? [none, 0] : [this.#arena.chunk(address), this.#arena.at(address)];
    const held = this.#find(number, rest);
    const tail = held === undefined ? before : held.end - start;
    const heldBytes = held === undefined ? 0 : held.end - held.from;
    const head = held === undefined ? before : held.from - start - this.#headerOf(rest, heldBytes);
    const header = sketch.length === 0 ? 0 : this.#headerOf(rest, sketch.length);
    const used = head + header + sketch.length + before - tail;
    this.#keys += (sketch.length === 0 ? 0 : 1) - (held === undefined ? 0 : 1);
    this.#bytes += sketch.length - heldBytes;
    this.#measured += (used === 0 ? 0 : 1) - (before === 0 ? 0 : 1);
    this.#used[number] = used;
    const stays = this.#arena.room(used) === this.#arena.room(before);
    const to = stays || used === 0 ? address : this.#arena.take(used);
    if (used > 0) {
      const [into, at] = [this.#arena.chunk(to), this.#arena.at(to)];
      if (!stays) into.set(chunk.subarray(start, start + head), at);
      into.set(chunk.subarray(start + tail, start + before), at + head + header + sketch.length);
      into.set(this.#header.subarray(0, header), at + head);
      into.set(sketch, at + head + header);
    }
    this.#address[number] = to;
    if (!stays && before > 0) this.#arena.give(address, before);
  }

  /** Bytes of an entry before its sketch, which then stand in `#header`. */
  #headerOf(rest: number, length: number): number {
    return putVarint(this.#header, putVarint(this.#header, 0, rest), length);
  }

  /** A sketch to read into that nobody else holds; valid until the next call. */
  read({ bytes, from, end }: Readonly<Omit<Entry, 'rest'>>): Sketch {
    this.#scratch.read(bytes, from, end);
    return this.#scratch;
  }
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
