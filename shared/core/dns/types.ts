/** Numbers of DNS (IANA): types with the layout of their data, classes, opcodes, response codes, EDNS options. */

/**
 * What stands in a record's data, in order. `name` may be compressed (RFC 3597 §4: only in types of RFC 1035),
 * `plainName` not; `period` is seconds with optional units; `strings` and `hex` take the rest.
 */
export type Field =
  | 'ip4'
  | 'ip6'
  | 'name'
  | 'plainName'
  | 'u8'
  | 'u16'
  | 'u32'
  | 'period'
  | 'string'
  | 'strings'
  | 'tag'
  | 'value'
  | 'hex'
  | 'params';

interface Layout {
  readonly type: number;
  readonly fields: readonly Field[];
  /** For messages: what data of this type looks like. */
  readonly form: string;
}

export const layouts: Readonly<Record<string, Layout>> = {
  A: { type: 1, fields: ['ip4'], form: '192.0.2.1' },
  NS: { type: 2, fields: ['name'], form: 'ns1.example.' },
  CNAME: { type: 5, fields: ['name'], form: 'www.example.' },
  SOA: {
    type: 6,
    fields: ['name', 'name', 'u32', 'period', 'period', 'period', 'period'],
    form: 'ns1.example. hostmaster.example. SERIAL REFRESH RETRY EXPIRE MINIMUM',
  },
  PTR: { type: 12, fields: ['name'], form: 'host.example.' },
  HINFO: { type: 13, fields: ['string', 'string'], form: '"CPU" "OS"' },
  MX: { type: 15, fields: ['u16', 'name'], form: '10 mail.example.' },
  TXT: { type: 16, fields: ['strings'], form: '"text" …, each at most 255 bytes' },
  AAAA: { type: 28, fields: ['ip6'], form: '2001:db8::1' },
  SRV: { type: 33, fields: ['u16', 'u16', 'u16', 'plainName'], form: 'PRIORITY WEIGHT PORT target.example.' },
  NAPTR: {
    type: 35,
    fields: ['u16', 'u16', 'string', 'string', 'string', 'plainName'],
    form: 'ORDER PREFERENCE "FLAGS" "SERVICE" "REGEXP" replacement.example.',
  },
  DNAME: { type: 39, fields: ['plainName'], form: 'other.example.' },
  DS: { type: 43, fields: ['u16', 'u8', 'u8', 'hex'], form: 'KEYTAG ALGORITHM DIGESTTYPE HEX' },
  SSHFP: { type: 44, fields: ['u8', 'u8', 'hex'], form: 'ALGORITHM TYPE HEX' },
  TLSA: { type: 52, fields: ['u8', 'u8', 'u8', 'hex'], form: 'USAGE SELECTOR MATCHING HEX' },
  SVCB: { type: 64, fields: ['u16', 'plainName', 'params'], form: 'PRIORITY target.example. alpn=h2 …' },
  HTTPS: { type: 65, fields: ['u16', 'plainName', 'params'], form: '1 . alpn=h2,h3 ipv4hint=192.0.2.1' },
  CAA: { type: 257, fields: ['u8', 'tag', 'value'], form: '0 issue "ca.example"' },
};

export const Type = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  HINFO: 13,
  TXT: 16,
  AAAA: 28,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

/** Types that ask rather than name data (RFC 6895 §3.1: 128–255, and OPT): never records of a zone. */
export function isMetaType(type: number): boolean {
  return type === 0 || type === Type.OPT || (type >= 128 && type <= 255);
}

export const Class = { IN: 1, CH: 3, ANY: 255 } as const;

export const Opcode = { query: 0 } as const;

export const Rcode = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  badVers: 16,
  badCookie: 23,
} as const;
export type Rcode = (typeof Rcode)[keyof typeof Rcode];
export const rcodeNames: Readonly<Record<Rcode, string>> = {
  0: 'NOERROR',
  1: 'FORMERR',
  2: 'SERVFAIL',
  3: 'NXDOMAIN',
  4: 'NOTIMP',
  5: 'REFUSED',
  16: 'BADVERS',
  23: 'BADCOOKIE',
};

/** EDNS options: RFC 5001, 7871, 7873, 7828, 8914. */
export const Option = { nsid: 3, clientSubnet: 8, cookie: 10, keepalive: 11, extendedError: 15 } as const;

/** Extended DNS errors we say (RFC 8914 §4). */
export const ExtendedError = {
  none: -1,
  staleAnswer: 3,
  notReady: 14,
  prohibited: 18,
  notAuthoritative: 20,
  notSupported: 21,
} as const;
export type ExtendedError = (typeof ExtendedError)[keyof typeof ExtendedError];

const namesByType = new Map(Object.entries(layouts).map(([name, { type }]) => [type, name]));

/** `A`, `https`, `TYPE65280` (RFC 3597 §5) → number. */
export function typeNumber(text: string): number | undefined {
  const upper = text.toUpperCase();
  if (Object.hasOwn(layouts, upper)) return layouts[upper]!.type;
  const match = /^TYPE(\d{1,5})$/.exec(upper);
  const type = match ? Number(match[1]) : 65536;
  return type <= 65535 ? type : undefined;
}

export function typeName(type: number): string {
  return namesByType.get(type) ?? `TYPE${type}`;
}
