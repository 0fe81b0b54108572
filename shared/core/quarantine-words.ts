/**
 * Why something that was sent or measured does not count, in the words of the command and the pages: what, then what it
 * means and what to do about it. Data alone, for pages too.
 */

/** Why a collector refused a beacon; what each means and what to do about it. */
export const refusalWords = {
  forged: ['token not ours', 'Signed by nobody here: made up, or by a collector of another store.'],
  expired: ['token expired', 'More than 5 minutes after its plan: a slow page, or an old token tried again.'],
  'foreign-prefix': [
    'token of another network',
    'The plan was given to one network and the beacon came from another, of another AS: tokens are passed around, or a proxy in front is not in trustedProxies.',
  ],
  'over-address-cap': [
    'too many from one address',
    'A flood, or many people behind one NAT: what is beyond probes.caps.addressPerHour adds nothing to what is known.',
  ],
  'over-prefix-cap': ['too many from one prefix', 'A flood from one network: probes.caps.prefixPerHour.'],
  'agent-unknown': ['agent not known', 'No key of that name, or revoked: `ufes probe agents` lists them.'],
  'agent-signature': [
    'agent signature wrong',
    'The key is not the one of that name, or the clock of its host is wrong.',
  ],
  'agent-elsewhere': [
    'agent in another place',
    'Outside the prefixes that its key is bound to: a copied key, or a moved host.',
  ],
  'over-agent-cap': [
    'agent too often',
    'More than an agent may report in an hour: two hosts with one key, or --every is too short.',
  ],
} as const satisfies Record<string, readonly [what: string, why: string]>;
export type RefusalReason = keyof typeof refusalWords;
export const refusalReasons = Object.keys(refusalWords) as RefusalReason[];

/** Why the mapper set a record aside. */
export const asideWords = {
  json: ['not JSON', 'A record of the stream is damaged, or written by another program.'],
  shape: ['wrong fields', 'A collector of another version, or damage.'],
  prefix: ['no prefix', 'Its prefix is no /24 or /48.'],
  shard: ['wrong shard', 'A collector that counts shards otherwise.'],
  future: ['of the future', 'The clock of a collector is ahead.'],
  'token-repeated': ['token used before', 'A beacon that was sent again: counted once.'],
  unfoldable: ['cannot be folded', 'It stopped the fold, and was left out so that those behind it go on.'],
  'prefixes-full': ['no room', 'More prefixes than limits.evidence.prefixes.'],
} as const satisfies Record<string, readonly [what: string, why: string]>;
