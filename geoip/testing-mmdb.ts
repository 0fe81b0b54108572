/** Writes small mmdb files for tests: any record size, both families in one tree, strings shared by pointers. */
import { addressBytes } from '@ufes/core/ip.ts';
import type { MmdbValue } from './mmdb.ts';

export interface MmdbFixture {
  readonly ipVersion?: 4 | 6;
  readonly recordSize?: 24 | 28 | 32;
  readonly databaseType?: string;
  /** Prefix text → record. Prefixes do not overlap. IPv4 ones go under ::/96 of an IPv6 tree. */
  readonly records: readonly (readonly [prefix: string, record: MmdbValue])[];
  /** Prefixes that lead to the IPv4 tree, as in MaxMind's files. */
  readonly aliases?: readonly string[];
  /** Seconds since the epoch. */
  readonly buildEpoch?: number;
}

type Node = { children: [Child, Child] };
/** A node, the offset of a record in the data section, or nothing. */
type Child = Node | number | undefined;

export function writeMmdb(fixture: MmdbFixture): Buffer {
  const { ipVersion = 6, recordSize = 28, databaseType = 'Test-City', aliases = [] } = fixture;
  const data = new DataWriter();
  const root: Node = { children: [undefined, undefined] };
  for (const [prefix, record] of fixture.records) {
    const offset = data.record(record);
    insert(root, bitsOf(prefix, ipVersion), offset);
  }
  if (aliases.length > 0) {
    const v4 = bitsOf('0.0.0.0/0', ipVersion).reduce<Child>((node, bit) => (node as Node).children[bit as 0], root);
    for (const prefix of aliases) insert(root, bitsOf(prefix, ipVersion), v4);
  }
  const nodes = numbered(root);
  const tree = Buffer.alloc((nodes.size * recordSize) / 4);
  for (const [node, number] of nodes) {
    const [left, right] = node.children.map((child) => {
      if (child === undefined) return nodes.size;
      return typeof child === 'number' ? nodes.size + 16 + child : nodes.get(child)!;
    });
    writeNode(tree, (number * recordSize) / 4, recordSize, left!, right!);
  }
  const metadata = new DataWriter();
  metadata.value({
    node_count: nodes.size,
    record_size: recordSize,
    ip_version: ipVersion,
    database_type: databaseType,
    languages: ['en'],
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: fixture.buildEpoch ?? 1_764_000_000,
    description: { en: 'made by a test' },
  });
  const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
  return Buffer.concat([tree, Buffer.alloc(16), data.bytes(), marker, metadata.bytes()]);
}

function bitsOf(prefix: string, ipVersion: 4 | 6): number[] {
  const [address, length] = prefix.split('/') as [string, string];
  const bytes = addressBytes(address)!;
  const bits = Array.from({ length: Number(length) }, (_, i) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1);
  return bytes.length === 4 && ipVersion === 6 ? [...Array<number>(96).fill(0), ...bits] : bits;
}

function insert(root: Node, bits: readonly number[], child: Child): void {
  let node = root;
  for (const bit of bits.slice(0, -1)) {
    const side = bit as 0 | 1;
    const next = node.children[side];
    if (typeof next === 'number') throw new Error('prefixes of a fixture must not overlap');
    node = node.children[side] = next ?? { children: [undefined, undefined] };
  }
  node.children[bits.at(-1) as 0 | 1] = child;
}

function numbered(root: Node): Map<Node, number> {
  const nodes = new Map<Node, number>([[root, 0]]);
  for (const node of nodes.keys()) {
    for (const child of node.children) {
      if (typeof child === 'object' && !nodes.has(child)) nodes.set(child, nodes.size);
    }
  }
  return nodes;
}

function writeNode(tree: Buffer, at: number, recordSize: number, left: number, right: number): void {
  if (recordSize === 24) {
    tree.writeUIntBE(left, at, 3);
    tree.writeUIntBE(right, at + 3, 3);
  } else if (recordSize === 28) {
    tree.writeUIntBE(left & 0xffffff, at, 3);
    tree[at + 3] = ((left >>> 24) << 4) | (right >>> 24);
    tree.writeUIntBE(right & 0xffffff, at + 4, 3);
  } else {
    tree.writeUInt32BE(left, at);
    tree.writeUInt32BE(right, at + 4);
  }
}

class DataWriter {
  readonly #chunks: Buffer[] = [];
  readonly #known = new Map<string, number>();
  #length = 0;

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Offset of the record; equal ones are written once. */
  record(record: MmdbValue): number {
    const key = `record ${JSON.stringify(record)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const offset = this.#length;
    this.#known.set(key, offset);
    this.value(record);
    return offset;
  }

  value(value: MmdbValue): void {
    if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'boolean') this.#control(14, value ? 1 : 0);
    else if (typeof value === 'number') this.#number(value);
    else if (Array.isArray(value)) {
      this.#control(11, value.length);
      for (const item of value) this.value(item);
    } else if (value !== undefined) {
      this.#control(7, Object.keys(value).length);
      for (const [key, item] of Object.entries(value)) {
        this.#text(key);
        this.value(item);
      }
    }
  }

  #text(text: string): void {
    const known = this.#known.get(text);
    if (known !== undefined && known < 2048) {
      this.#push([(1 << 5) | (known >> 8), known & 255]);
      return;
    }
    if (known !== undefined) {
      const value = known - 2048;
      this.#push([(1 << 5) | (1 << 3) | (value >> 16), (value >> 8) & 255, value & 255]);
      return;
    }
    this.#known.set(text, this.#length);
    const bytes = Buffer.from(text);
    this.#control(2, bytes.length);
    this.#push(bytes);
  }

  /** Whole numbers as uint32, others as double. */
  #number(value: number): void {
    const whole = Number.isInteger(value) && value >= 0 && value < 2 ** 32;
    const bytes = Buffer.alloc(whole ? 4 : 8);
    if (whole) bytes.writeUInt32BE(value);
    else bytes.writeDoubleBE(value);
    this.#control(whole ? 6 : 3, bytes.length);
    this.#push(bytes);
  }

  #control(type: number, size: number): void {
    const first = type < 8 ? type << 5 : 0;
    const extended = type < 8 ? [] : [type - 7];
    if (size < 29) this.#push([first | size, ...extended]);
    else if (size < 285) this.#push([first | 29, ...extended, size - 29]);
    else this.#push([first | 30, ...extended, (size - 285) >> 8, (size - 285) & 255]);
  }

  #push(bytes: readonly number[] | Buffer): void {
    const chunk = Buffer.from(bytes);
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }
}
