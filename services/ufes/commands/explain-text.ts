/** An explanation at a terminal: the answer and its reason first, then what was known of each PoP in the order of the ranking. */
import {
  type Explanation,
  type ForceExplanation,
  guardTexts,
  type PopExplanation,
} from '@ufes/core/steering/explanation.ts';
import { ago, bold, dim, green, red, table, yellow } from '../command.ts';

type Whole = Explanation & { readonly asn?: number };

/** PoPs below the chosen ones that nobody looked at say little: so many are shown. */
const restShown = 5;

/** `columns`: of the terminal; what does not fit is continued below. */
export function explanationText(e: Whole, columns: number): string {
  const rows = factRows(e).map(([key, value]) => wrapped(`  ${key.padEnd(9)} `, value, columns));
  return `${title(e)}\n${rows.join('')}\n${popTable(e, columns)}${notes(e, columns)}${bytesText(e, columns)}`;
}

function title({ name, asked, type }: Whole): string {
  const pinned = asked === name ? '' : ` (one PoP of ${name})`;
  return `${bold(`${asked} ${type}`)}${pinned}`;
}

function factRows(e: Whole): [string, string][] {
  const where = [e.place, e.asn === undefined ? undefined : `AS${e.asn}`].filter(Boolean).join(', ');
  const measured = e.cell ? `measured as ${e.cell}` : 'not measured itself: ranked by its place';
  const rows: [string, string | undefined][] = [
    ['time', timeText(e)],
    ['answer', `${bold(e.answers.join(' ') || noAnswer(e))}${chosenText(e)}`],
    ['why', whyText(e)],
    ['TTL', ttlText(e)],
    ['client', `${e.client}${where ? `, ${where}` : ''}`],
    ['doubts', doubtsText(e)],
    ['resolver', e.resolver === e.client ? undefined : e.resolver],
    ['placed', `in ${e.placed} by the ${e.evidence}`],
    ['matched', `${e.prefix}, answer scope /${e.scope}; ${measured}`],
    ...ruleRows(e),
    ['service', `${e.service} in zone ${e.zone}, owner ${e.owner}`],
    ['map', e.map ? mapText(e.map) : 'none: the order of the configuration'],
    ['config', `${e.desired.version}, ${ago(e.desired.ageSeconds * 1000)} old`],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== undefined);
}

/** What does not fit the place. */
function doubtsText({ isDisputed, quarantined = {} }: Whole): string | undefined {
  const apart = Object.entries(quarantined).map(
    ([pop, { samples, ms }]) =>
      `${samples} round trips to ${pop} of some ${ms} ms, as clients say, are faster than the place allows: they count for nothing`,
  );
  const disputed = 'edges time it faster than light from its place: GeoIP counts for nothing';
  return [...(isDisputed ? [disputed] : []), ...apart].join('; ') || undefined;
}

const time = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function timeText({ atMs, node, past }: Whole): string {
  if (past === undefined) return `now, ${time(atMs)}, as ${node} answers`;
  const since = time(past.sinceMs);
  return `${bold(time(atMs))}, as ${node} answered; nothing it answers by had changed since ${since}`;
}

function noAnswer({ message }: Whole): string {
  return message === undefined || message.rcode === 'NOERROR' ? 'no address' : message.rcode;
}

function chosenText({ pops }: Whole): string {
  const chosen = pops.filter((pop) => pop.chosen).map(({ pop }) => pop);
  return chosen.length === 0 ? '' : `  ${green(chosen.join(', '))}`;
}

/** One line that can be read out on the telephone. */
function whyText({ why, pops }: Whole): string {
  const first = pops.find(({ chosen }) => chosen);
  const before = pops.filter(({ passed }) => passed !== '').slice(0, 3);
  const more = pops.filter(({ passed }) => passed !== '').length - before.length;
  const over = before.map(({ pop, passed }) => `${pop} (${passed})`).join(', ');
  const rank = first === undefined || why !== 'map' ? '' : `, ranked ${ordinal(first.rank)}`;
  return `${bold(why)}${rank}${over ? `; passed over: ${over}${more > 0 ? ` and ${more} more` : ''}` : ''}`;
}

function ordinal(rank: number): string {
  return rank === 1 ? 'first' : rank === 2 ? 'second' : rank === 3 ? 'third' : `${rank}th`;
}

function ttlText({ ttlSeconds, ttl, atMs }: Whole): string {
  const { minSeconds, maxSeconds, why, pop, endsMs } = ttl;
  const about = pop === undefined ? '' : ` (${pop}${endsMs === undefined ? '' : `, in ${ago(endsMs - atMs)}`})`;
  return `${bold(`${ttlSeconds} s`)} of ${minSeconds}–${maxSeconds} s: ${why}${about}`;
}

function mapText({ version, ageSeconds, sources, geoip }: NonNullable<Whole['map']>): string {
  return `${version}, ${ago(ageSeconds * 1000)} old; evidence ${sources.join(', ') || 'none'}; ${geoip}`;
}

/** Rules that reached this client, in their order. */
function ruleRows({ force, override, share, only, control }: Whole): [string, string][] {
  const pinned = (pin: boolean) => (pin ? ', pinned' : '');
  return [
    ...(force ? [['force', forceText(force)] as [string, string]] : []),
    ...(override ? [['override', `${override.pops.join(', ')}${pinned(override.pin)}`] as [string, string]] : []),
    ...(share ? [['share', `${share.percent}% to ${share.pop}`] as [string, string]] : []),
    ...(only ? [['only', only.join(', ')] as [string, string]] : []),
    ...(control ? [['control', 'steered by distance alone, to compare with'] as [string, string]] : []),
  ];
}

function forceText({ glob, pop, state, pin, untilMs, actor, reason }: ForceExplanation): string {
  const what = `${glob ?? ''} → ${pop}${state === undefined ? '' : `=${state}`}${pin ? ', pinned' : ''}`;
  const ends = untilMs === undefined ? '' : ` until ${time(untilMs)}`;
  return `${what}${ends}${actor ? `, by ${actor}` : ''}${reason ? `: ${reason}` : ''}`;
}

// --- PoPs ------------------------------------------------------------------------------------------------------------

function popTable(e: Whole, columns: number): string {
  const shown = shownPops(e.pops);
  const hidden = e.pops.length - shown.length;
  const isMeasured = shown.some(({ estimate }) => estimate !== undefined);
  const narrow = columns < 100;
  const heads = [
    '',
    'POP',
    'STATE',
    'LOAD',
    ...(isMeasured ? ['RTT ms', '95%', 'n', 'TIER', ...(narrow ? [] : ['BACKBONE ms', 'COST ms'])] : []),
    '',
  ].map(bold);
  const rows = shown.map((pop) => popRow(pop, isMeasured, narrow));
  const none = isMeasured
    ? ''
    : `  ${dim(e.past ? 'the map of then has no estimate of this client itself' : 'no estimates: nobody measured it, and no mapper answers')}\n`;
  return `${table([heads, ...rows])}${hidden > 0 ? `  ${dim(`and ${hidden} more below, not reached (--json has them)`)}\n` : ''}${none}`;
}

/** All down to the last that was chosen or passed over, and a few more. */
function shownPops(pops: readonly PopExplanation[]): readonly PopExplanation[] {
  const last = pops.findLastIndex(({ chosen, passed }) => chosen || passed !== '');
  return pops.slice(0, last + 1 + restShown);
}

function popRow(pop: PopExplanation, isMeasured: boolean, narrow: boolean): string[] {
  const { estimate } = pop;
  const ms = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(1));
  const state = pop.state === 'up' ? green('up') : pop.state === 'down' ? red('down') : yellow(pop.state);
  const estimates = [
    ms(estimate?.clientMs),
    estimate ? `${ms(estimate.lowMs)}–${estimate.highMs >= 6_553 ? '∞' : ms(estimate.highMs)}` : '–',
    estimate ? String(Math.round(estimate.n)) : '–',
    estimate?.tier ?? '–',
    ...(narrow ? [] : [ms(estimate?.backboneMs), ms(estimate?.costMs)]),
  ];
  return [
    pop.chosen ? green('→') : String(pop.rank),
    pop.pop,
    state,
    `${Math.round(pop.loadPerMille / 10)}%`,
    ...(isMeasured ? estimates : []),
    pop.chosen
      ? green(pop.by)
      : pop.passed
        ? yellow(passedText(pop, narrow))
        : pop.keeps < 1
          ? yellow(`keeps ${(100 * pop.keeps).toFixed(0)}%`)
          : '',
  ];
}

function passedText({ passed, state }: PopExplanation, narrow: boolean): string {
  if (!narrow) return `passed over: ${passed}`;
  return passed === state ? 'skipped' : passed;
}

/** Why a PoP is in its state, where it is not simply up. */
function notes(e: Whole, columns: number): string {
  const lines = shownPops(e.pops).flatMap((pop) => {
    const said = noteOf(pop, e.atMs);
    return said === '' ? [] : [wrapped(`  ${pop.pop}: `, said, columns)];
  });
  return lines.length === 0 ? '' : `\n${lines.join('')}`;
}

function noteOf(pop: PopExplanation, atMs: number): string {
  const { health, serviceHealth, drain, said, forced, keeps, chosen, passed, state, guard } = pop;
  const isPlain = state === 'up' && !drain && !said && !forced && !guard && keeps === 1;
  if (isPlain && !chosen && passed === '') return '';
  const until = (ms: number) => `until ${time(ms)}`;
  return [
    ...(guard ? [guardTexts[guard]] : []),
    ...(forced ? [`forced ${forceText(forced)}`] : []),
    ...(said ? [`said to be ${said.state} ${until(said.untilMs)}, by ${said.by}: ${said.reason}`] : []),
    ...(drain ? [`drains ${until(drain.untilMs)}, by ${drain.by}: ${drain.reason}`] : []),
    ...(health ? [healthText('checks', health, atMs)] : ['nobody has checked it yet']),
    ...(serviceHealth ? [healthText('checks of the service', serviceHealth, atMs)] : []),
    ...(keeps < 1
      ? [`at ${Math.round(pop.loadPerMille / 10)}% of capacity it keeps ${(100 * keeps).toFixed(0)}% of its clients`]
      : []),
  ].join('; ');
}

function healthText(what: string, health: NonNullable<PopExplanation['health']>, atMs: number): string {
  const { state, sinceMs, counted, votes } = health;
  const votesText = votes.map((vote) => {
    const when = vote.atMs === undefined ? '' : ` ${(Math.max(0, atMs - vote.atMs) / 1000).toFixed(1)} s ago`;
    return `${vote.vantage} ${vote.state}${when}`;
  });
  const by =
    counted === 0 ? 'nobody can say now: it is what was known last' : `${counted} vote${counted === 1 ? '' : 's'}`;
  return `${what}: ${state} for ${ago(atMs - sinceMs)}, ${by}${votesText.length > 0 ? ` (${votesText.join(', ')})` : ''}`;
}

// --- Bytes -----------------------------------------------------------------------------------------------------------

function bytesText({ message }: Whole, columns: number): string {
  if (message === undefined) return '';
  const bytes = Buffer.from(message.answer, 'base64');
  const a = columns < 100 ? 16 : 32;
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += a) {
    const piece = [...bytes.subarray(at, at + a)].map((byte) => byte.toString(16).padStart(2, '0'));
    lines.push(dim(`  ${at.toString(16).padStart(4, '0')}  ${piece.join(' ')}\n`));
  }
  return `\n  ${message.rcode}, ${bytes.length} bytes\n${lines.join('')}`;
}

/** Text after a label, broken between words and continued under itself. */
function wrapped(label: string, text: string, columns: number): string {
  // Colours do not count as width; a piece that is longer than a line stays whole, so that it can be copied.
  const width = (piece: string) => piece.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g'), '').length;
  const room = Math.max(20, columns - label.length);
  const lines: string[] = [''];
  for (const piece of text.split(/(?<=\S)(?=\s)/)) {
    const last = lines.at(-1)!;
    if (last !== '' && width(last) + width(piece) > room) lines.push(piece.trimStart());
    else lines[lines.length - 1] = last + piece;
  }
  return `${label}${lines.join(`\n${' '.repeat(label.length)}`)}\n`;
}
