/** What the tests use of dns-packet, which comes without types. */
declare module 'dns-packet' {
  export interface Option {
    readonly code: number;
    readonly sourcePrefixLength?: number;
    readonly scopePrefixLength?: number;
    readonly family?: number;
    readonly ip?: string;
  }
  export interface Record {
    readonly name: string;
    readonly type: string;
    readonly ttl?: number;
    readonly data?: unknown;
  }
  export interface Opt extends Record {
    readonly udpPayloadSize: number;
    readonly extendedRcode: number;
    readonly ednsVersion: number;
    readonly flag_do: boolean;
    readonly options?: readonly Option[];
  }
  export interface Packet {
    readonly id: number;
    readonly type: 'query' | 'response';
    readonly rcode: string;
    readonly opcode: string;
    readonly flag_aa: boolean;
    readonly flag_tc: boolean;
    readonly flag_rd: boolean;
    readonly flag_ra: boolean;
    readonly questions: readonly Record[];
    readonly answers: readonly Record[];
    readonly authorities: readonly Record[];
    readonly additionals: readonly (Record & Opt)[];
  }
  const api: { decode(bytes: Buffer): Packet & { readonly [k: string]: unknown }; encode(packet: object): Buffer };
  export default api;
}
