/** `ufes explain NAME CLIENT`: why this client gets this answer, by the code that answers. */
import { parseArgs } from 'node:util';
import {
  type Evidence,
  type Explanation,
  type ForceExplanation,
  type PopExplanation,
  withEvidence,
} from '@ufes/core/steering/explanation.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import {
  ago,
  bold,
  type Command,
  dim,
  green,
  jsonOption,
  red,
  stateFolder,
  stateOption,
  table,
  UsageError,
  yellow,
} from '../command.ts';

export const explain: Command = {
  usage: 'explain NAME [CLIENT] [--resolver ADDRESS] [--type A]',
  summary: 'why CLIENT (address or prefix), or a resolver that tells none, gets the answer it gets for NAME',
  details: '\nThe decision comes from the running dns; estimates that its map does not hold are asked of the mapper.\n',
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        type: { type: 'string', default: 'A' },
        resolver: { type: 'string' },
      },
      allowPositionals: true,
    });
    const [name, client] = positionals;
    if (name === undefined || (client === undefined && values.resolver === undefined)) {
      throw new UsageError('which name, and for which client?');
    }
    const state = stateFolder(values.state);
    const query = new URLSearchParams({
      name,
      type: values.type.toUpperCase(),
      ...(client === undefined ? {} : { client }),
      ...(values.resolver === undefined ? {} : { resolver: values.resolver }),
    });
    const decision = await adminGet<Explanation>(state, 'dns', `/explain?${query}`);
    const believed = await adminGet<Evidence>(
      state,
      'mapper',
      `/evidence?${new URLSearchParams({ client: decision.placed.split('/')[0]!, service: decision.name })}`,
    ).catch(() => undefined);
    const whole = withEvidence(decision, believed);
    process.stdout.write(values.json ? `${JSON.stringify(whole, null, 2)}\n` : toText(whole));
    return 0;
  },
};

function toText(e: Explanation & { asn?: number }): string {
  const where = [e.place, e.asn === undefined ? undefined : `AS${e.asn}`].filter(Boolean).join(', ');
  const facts: [string, string][] = [
    [
      'answer',
      e.answers.length > 0 ? `${bold(e.answers.join(' '))}  ${dim(`TTL ${e.ttlSeconds} s`)}` : bold('no address'),
    ],
    ['client', `${e.client}${where ? `  ${where}` : ''}`],
    [
      'prefix',
      `${e.prefix}  ${dim(`scope /${e.scope}`)}${e.cell ? `, measured as ${bold(e.cell)}` : ', not measured itself'}`,
    ],
    ['why', `${bold(e.why)}  ${dim(`placed in ${e.placed} by the ${e.evidence}`)}`],
    ...ruleRows(e),
    ['service', `${e.service}  ${dim(`owner ${e.owner}`)}`],
    [
      'map',
      e.map
        ? `${e.map.version}, ${ago(e.map.ageSeconds * 1000)} old  ${dim(`evidence ${e.map.sources.join(', ')}; ${e.map.geoip}`)}`
        : 'none yet',
    ],
    ['names', `${e.desired.version}, ${ago(e.desired.ageSeconds * 1000)} old`],
  ];
  const heads = ['', 'POP', 'STATE', 'CLIENT RTT', '95%', 'n', 'TIER', 'BACKBONE', 'COST', 'VIP', ''].map(bold);
  return `${bold(`${e.name} ${e.type}`)}\n${table(facts.map(([key, value]) => [`  ${key}`, value]))}\n${table([heads, ...e.pops.map(popRow)])}`;
}

/** Rules that reached this client, in their order. */
function ruleRows({ force, override, share, only, control }: Explanation): [string, string][] {
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
  const ends = untilMs === undefined ? '' : `, until ${new Date(untilMs).toISOString()}`;
  return `${what}${ends}  ${dim(`${actor ?? ''}: ${reason ?? ''}`)}`;
}

function popRow(pop: PopExplanation): string[] {
  const { estimate } = pop;
  const ms = (value: number | undefined) => (value === undefined ? '' : `${value.toFixed(1)} ms`);
  const state = pop.state === 'up' ? green('up') : pop.state === 'down' ? red('down') : yellow(pop.state);
  return [
    pop.chosen ? green('→') : String(pop.rank),
    pop.pop,
    state,
    ms(estimate?.clientMs),
    estimate ? `${estimate.lowMs.toFixed(1)}–${estimate.highMs.toFixed(1)}` : '',
    estimate ? String(Math.round(estimate.n)) : '',
    estimate?.tier ?? '',
    ms(estimate?.backboneMs),
    ms(estimate?.costMs),
    pop.vips.join(' '),
    [
      ...(pop.passed ? [yellow(`passed over: ${pop.passed}`)] : []),
      ...(pop.chosen && pop.by !== '' ? [dim(pop.by)] : []),
      ...(pop.keeps < 1 ? [yellow(`keeps ${(100 * pop.keeps).toFixed(0)}%`)] : []),
      ...(pop.forced ? [yellow(`forced: ${forceText(pop.forced)}`)] : []),
    ].join(', '),
  ];
}
