/**
 * A MaxMind DB file (format 2.0), read to be compiled: the search tree is walked once from end to end, and each data
 * record is decoded once. The maxmind package reads and checks the metadata; its look-ups decode the record every time
 * and would take a minute where the walk takes a second.
 *
 *     [search tree: nodeCount × (left, right)] [16 zero bytes] [data section] … [marker][metadata map]
 *
 * A record of the tree is a node number (< nodeCount), nothing (= nodeCount), or a position in the data section
 * (> nodeCount, minus nodeCount and 16). IPv4 lives in its own tree or under ::/96 of an IPv6 one.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { Reader } from 'maxmind';

/** In place of a data pointer: no record. */
export const noData = 0;

const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
const separatorBytes = 16;

/** Data types of the format that we give a meaning; the others are skipped by their size. */
const Type = {
  extended: 0,
  pointer: 1,
  text: 2,
  double: 3,
  bytes: 4,
  uint16: 5,
  uint32: 6,
  map: 7,
  int32: 8,
  uint64: 9,
  uint128: 10,
  array: 11,
  boolean: 14,
  float: 15,
} as const;

export type MmdbValue = string | number | boolean | undefined | MmdbValue[] | { [key: string]: MmdbValue };

export class Mmdb {
  readonly file: string;
  readonly databaseType: string;
  /** Day of the build, `2026-06-05`. */
  readonly date: string;
  readonly ipVersion: 4 | 6;
  readonly nodeCount: number;
  readonly #bytes: Buffer;
  readonly #recordBits: number;
  readonly #nodeBytes: number;
  readonly #dataStart: number;
  readonly #dataEnd: number;
  /** Values by position in the file, for those that pointers lead to. */
  #cache = new Map<number, MmdbValue>();
  #at = 0;
  #budget = 0;
  #visits = 0;
  #v4Root: number;

  /** Throws GEOIP_CORRUPT unless `bytes` begin and end like an mmdb. `file` is for messages. */
  constructor(bytes: Buffer, file: string) {
    this.file = file;
    this.#bytes = bytes;
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) throw this.#corrupt('it is compressed with gzip; unpack it first');
    const metadataAt = bytes.lastIndexOf(marker);
    if (metadataAt < 0) throw this.#corrupt('it has no metadata at its end: truncated, or no mmdb file');
    let metadata: Reader<never>['metadata'];
    try {
      metadata = new Reader<never>(bytes).metadata;
    } catch (cause) {
      throw this.#corrupt('its metadata cannot be read', cause);
    }
    const { binaryFormatMajorVersion: format, ipVersion, nodeCount, recordSize, buildEpoch } = metadata;
    if (format !== 2) throw this.#corrupt(`its format is ${format}; 2 can be read`);
    if (ipVersion !== 4 && ipVersion !== 6)
      throw this.#corrupt(`its ip_version is ${ipVersion}; 4 or 6 would be right`);
    this.ipVersion = ipVersion;
    this.nodeCount = nodeCount;
    this.databaseType = String(metadata.databaseType);
    this.date = Number.isFinite(buildEpoch.getTime()) ? buildEpoch.toISOString().slice(0, 10) : 'undated';
    this.#recordBits = recordSize;
    this.#nodeBytes = recordSize / 4;
    this.#dataStart = nodeCount * this.#nodeBytes + separatorBytes;
    this.#dataEnd = metadataAt;
    if (!(Number.isInteger(nodeCount) && nodeCount > 0 && this.#dataStart <= metadataAt)) {
      throw this.#corrupt(`its ${nodeCount} tree nodes do not fit into ${bytes.length} bytes: truncated`);
    }
    this.#v4Root = 0;
    for (let depth = 0; ipVersion === 6 && depth < 96 && this.#v4Root < nodeCount; depth++) {
      this.#v4Root = this.#child(this.#v4Root, 0);
    }
  }

  /** Calls `emit` with the first address and the data pointer of every IPv4 leaf, in order, from 0.0.0.0 on. */
  walk4(emit: (start: number, pointer: number) => void, onProgress: (fraction: number) => void): void {
    this.#visits = 0;
    const visit = (node: number, start: number, depth: number): void => {
      if (node >= this.nodeCount) {
        emit(start, node === this.nodeCount ? noData : node);
        return;
      }
      if (depth === 32) throw this.#corrupt('its search tree is deeper than an IPv4 address');
      this.#count(onProgress);
      visit(this.#child(node, 0), start, depth + 1);
      visit(this.#child(node, 1), (start | (1 << (31 - depth))) >>> 0, depth + 1);
    };
    visit(this.#v4Root, 0, 0);
  }

  /**
   * The same for IPv6, by the first 64 bits. A /64 that is divided further takes the record of its largest part.
   * The IPv4 tree, which other prefixes may be aliases of (6to4, Teredo, mapped), is nothing here.
   */
  walk6(emit: (hi: number, lo: number, pointer: number) => void, onProgress: (fraction: number) => void): void {
    if (this.ipVersion === 4) {
      emit(0, 0, noData);
      return;
    }
    this.#visits = 0;
    const visit = (node: number, hi: number, lo: number, depth: number): void => {
      if (node >= this.nodeCount || node === this.#v4Root) {
        emit(hi, lo, node > this.nodeCount ? node : noData);
        return;
      }
      if (depth === 64) {
        emit(hi, lo, this.#largestPart(node));
        return;
      }
      this.#count(onProgress);
      visit(this.#child(node, 0), hi, lo, depth + 1);
      if (depth < 32) visit(this.#child(node, 1), (hi | (1 << (31 - depth))) >>> 0, lo, depth + 1);
      else visit(this.#child(node, 1), hi, (lo | (1 << (63 - depth))) >>> 0, depth + 1);
    };
    visit(0, 0, 0, 0);
  }

  /** The first of the shallowest data pointers below a node at depth 64. */
  #largestPart(top: number): number {
    let level = [top];
    for (let depth = 64; depth < 128 && level.length > 0; depth++) {
      const below: number[] = [];
      for (const node of level) {
        this.#count();
        for (const side of [0, 1] as const) {
          const child = this.#child(node, side);
          if (child > this.nodeCount) return child;
          if (child < this.nodeCount && child !== this.#v4Root) below.push(child);
        }
      }
      level = below;
    }
    return noData;
  }

  /** In a tree each node is come to once; a corrupt file may share or repeat them without end. */
  #count(onProgress?: (fraction: number) => void): void {
    if (++this.#visits > this.nodeCount) throw this.#corrupt('its search tree leads back into itself');
    if ((this.#visits & 0xffff) === 0) onProgress?.(this.#visits / this.nodeCount);
  }

  #child(node: number, side: 0 | 1): number {
    const bytes = this.#bytes;
    const at = node * this.#nodeBytes;
    if (this.#recordBits === 28) {
      const middle = bytes[at + 3]!;
      return side === 0
        ? ((middle & 0xf0) << 20) | (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
        : ((middle & 0x0f) << 24) | (bytes[at + 4]! << 16) | (bytes[at + 5]! << 8) | bytes[at + 6]!;
    }
    if (this.#recordBits === 24) {
      const from = at + 3 * side;
      return (bytes[from]! << 16) | (bytes[from + 1]! << 8) | bytes[from + 2]!;
    }
    return bytes.readUInt32BE(at + 4 * side);
  }

  /** The record a leaf points to. Values that pointers lead to are shared between records. Throws GEOIP_CORRUPT. */
  record(pointer: number): MmdbValue {
    this.#at = this.#dataStart + pointer - this.nodeCount - separatorBytes;
    this.#budget = limits.geoip.recordValues;
    if (this.#at < this.#dataStart) throw this.#corrupt('a leaf of its search tree points into the separator');
    return this.#value(0);
  }

  #value(depth: number): MmdbValue {
    if (--this.#budget < 0 || depth > limits.geoip.recordDepth) throw this.#corrupt('a data record has no end');
    const control = this.#uint(1);
    let type = control >> 5;
    if (type === Type.pointer) return this.#pointed(control, depth);
    if (type === Type.extended) type = this.#uint(1) + 7;
    const size = this.#size(control);
    switch (type) {
      case Type.map:
        return this.#map(size, depth);
      case Type.array:
        return Array.from({ length: Math.min(size, limits.geoip.recordValues) }, () => this.#value(depth + 1));
      case Type.boolean:
        return size !== 0;
      case Type.text: {
        const from = this.#skip(size);
        return this.#bytes.toString('utf8', from, from + size);
      }
      case Type.double:
        return this.#bytes.readDoubleBE(this.#skip(8));
      case Type.float:
        return this.#bytes.readFloatBE(this.#skip(4));
      case Type.uint16:
      case Type.uint32:
        return this.#uint(size);
      case Type.int32:
        return size === 4 ? this.#uint(4) | 0 : this.#uint(size);
      case Type.bytes:
      case Type.uint64:
      case Type.uint128:
        this.#skip(size);
        return undefined;
      default:
        throw this.#corrupt(`a data record has a value of the unknown type ${type}`);
    }
  }

  #map(size: number, depth: number): MmdbValue {
    const map: { [key: string]: MmdbValue } = {};
    for (let i = 0; i < size; i++) {
      const key = this.#value(depth + 1);
      if (typeof key !== 'string') throw this.#corrupt('a key in a data record is no text');
      map[key] = this.#value(depth + 1);
    }
    return map;
  }

  #pointed(control: number, depth: number): MmdbValue {
    const size = (control >> 3) & 3;
    const high = control & 7;
    let target = this.#dataStart;
    if (size === 3) target += this.#uint(4);
    else target += high * 2 ** (8 * (size + 1)) + this.#uint(size + 1) + [0, 2048, 526_336][size]!;
    const known = this.#cache.get(target);
    if (known !== undefined) return known;
    const back = this.#at;
    this.#at = target;
    const value = this.#value(depth + 1);
    this.#at = back;
    if (this.#cache.size >= limits.geoip.recordCache) this.#cache.clear();
    this.#cache.set(target, value);
    return value;
  }

  #size(control: number): number {
    const size = control & 31;
    if (size < 29) return size;
    if (size === 29) return 29 + this.#uint(1);
    if (size === 30) return 285 + this.#uint(2);
    return 65_821 + this.#uint(3);
  }

  #uint(size: number): number {
    if (size > 4) throw this.#corrupt('a data record has a number of more than 4 bytes');
    let at = this.#skip(size);
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.#bytes[at++]!;
    return value;
  }

  /** Moves on; the result is where it was. */
  #skip(size: number): number {
    const from = this.#at;
    this.#at = from + size;
    if (this.#at > this.#dataEnd) throw this.#corrupt('a data record runs past the end of the data');
    return from;
  }

  #corrupt(why: string, cause?: unknown): OperatingError {
    return new OperatingError('GEOIP_CORRUPT', `GeoIP database ${this.file}: ${why}`, { cause });
  }
}
