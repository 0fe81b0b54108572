/** `ufes plan FILE`: what a configuration would move, before it is in service. */
import { userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import { limits } from '@ufes/core/limits.ts';
import type { PlannedPop, Prediction } from '@ufes/core/steering/plan.ts';
import type { PlanChange } from '@ufes/core/steering/plan-changes.ts';
import type { PlanState } from '@ufes/core/steering/plan-input.ts';
import type { MovedShares, Reason } from '@ufes/core/steering/publication.ts';
import { adminPost } from '@ufes/io/admin-client.ts';
import { formatProblems, readConfig } from '@ufes/io/config-file.ts';
import {
  bold,
  type Command,
  dim,
  exitCodes,
  green,
  jsonOption,
  red,
  stateFolder,
  stateOption,
  table,
  UsageError,
  yellow,
} from '../command.ts';

/** The mapper's answer. */
interface Answer {
  readonly prediction: Prediction;
  readonly changes: readonly PlanChange[];
  readonly judged?: { readonly reasons: readonly Reason[]; readonly moved: MovedShares };
  readonly prefixes: number;
  readonly taken: number;
  readonly measured: number;
}

export const plan: Command = {
  usage: 'plan [FILE] [--drain POP]… [--undrain POP]…',
  summary: 'what a configuration would move: demand, response times, loads, who is harmed',
  details: `
Demand and evidence of about the last day are decided by the code that answers, as things are and as FILE would have
them; without FILE the configuration in service stands. Nothing is changed. The prediction is kept, and compared with
what happened once that configuration is in service: \`ufes history\`.

Exit 0: predicted. Exit 1: FILE has problems, told as by \`ufes check\`. Exit 3: no mapper or controller runs.
`,
  async run(args) {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        drain: { type: 'string', multiple: true, default: [] },
        undrain: { type: 'string', multiple: true, default: [] },
      },
      allowPositionals: true,
    });
    const [file, ...more] = positionals;
    if (more.length > 0) throw new UsageError('one file or folder at a time');
    if (file === undefined && values.drain.length + values.undrain.length === 0) {
      throw new UsageError('what is to be planned? a FILE, --drain POP or --undrain POP');
    }
    const state = stateFolder(values.state);
    const desired = file === undefined ? undefined : await compiled(state, file, values.json);
    if (file !== undefined && desired === undefined) return exitCodes.failed;
    const answer = await adminPost<Answer>(
      state,
      'mapper',
      '/plan',
      {
        ...(desired !== undefined && { desired }),
        ...(file !== undefined && { file }),
        drained: values.drain,
        opened: values.undrain,
        by: userInfo().username,
      },
      { timeoutMs: limits.plan.askMs },
    );
    process.stdout.write(values.json ? `${JSON.stringify(answer, null, 2)}\n` : toText(answer, values.drain));
    return exitCodes.ok;
  },
};

/** Undefined: it has problems, which were told. */
async function compiled(state: string, file: string, json: boolean): Promise<PlanState | undefined> {
  const result = await readConfig(file, { withGeoip: true });
  if (result.ok) {
    const { config, zones } = result;
    return adminPost<PlanState>(state, 'controller', '/plan', { config, zones }, { timeoutMs: limits.plan.askMs });
  }
  const { problems } = result;
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, problems }, null, 2)}\n`);
  else {
    const count = `${problems.length} problem${problems.length === 1 ? '' : 's'}`;
    process.stderr.write(`${formatProblems(problems)}\n${file}: ${count}\n`);
  }
  return undefined;
}

function toText({ prediction: p, changes, judged, ...evidence }: Answer, drained: readonly string[]): string {
  const { response, harmed, helped } = p;
  const says = [...changes.map(changeLine), ...drained.map((pop) => `  ${yellow('~')} PoP ${pop} drains\n`)];
  const { prefixes, taken, measured } = evidence;
  const ofThem = taken < prefixes ? `, of which ${taken} were taken` : '';
  const facts: [string, string][] = [
    ['moved', `${bold(percent(p.moved))} of demand; clients have followed after ${p.ttlSeconds} s`],
    ['mean', change(response.meanBeforeMs, response.meanAfterMs)],
    ['p95', change(response.p95BeforeMs, response.p95AfterMs)],
    ['harmed', harm(harmed, red, 'slower')],
    ['helped', harm(helped, green, 'faster')],
    ...(p.ended > 0 ? [['names gone', `${percent(p.ended)} of demand is for them`] as [string, string]] : []),
    ...(p.nowhere > 0 ? [['no answer', red(`${percent(p.nowhere)} of demand has no PoP`)] as [string, string]] : []),
    ['evidence', dim(`${prefixes} prefixes${ofThem}; ${measured} are measured`)],
  ];
  return [
    says.length === 0 ? '  nothing changes\n' : says.join(''),
    '\n',
    table(facts.map(([key, value]) => [`  ${key}`, value])),
    `\n${popTable(p)}`,
    p.countries.length === 0 ? '' : `\n${countryTable(p)}`,
    harmed.worst.length === 0 ? '' : `\n${worstTable(p)}`,
    judged === undefined ? '' : `\n${judgedText(judged)}`,
  ].join('');
}

const kinds = { pop: 'PoP', origin: 'origin', name: 'name', zone: 'zone', room: '', probe: 'probes' } as const;

function changeLine({ kind, id, change: what, text }: PlanChange): string {
  const mark = { added: green('+'), removed: red('-'), changed: yellow('~') }[what];
  const thing = [kinds[kind], kind === 'room' ? 'room' : id].filter((part) => part !== '').join(' ');
  return `  ${mark} ${thing}${text === '' ? '' : `: ${text}`}\n`;
}

function change(before: number, after: number): string {
  const difference = after - before;
  const shade = Math.abs(difference) < 0.05 ? dim : difference > 0 ? red : green;
  return `${ms(before)} → ${bold(ms(after))}  ${shade(`${difference > 0 ? '+' : ''}${ms(difference)}`)}`;
}

function harm({ share, meanMs }: { share: number; meanMs: number }, shade: typeof red, word: string): string {
  if (share === 0) return dim(`nobody more than ${limits.plan.harmMs} ms ${word}`);
  return `${shade(percent(share))} of demand, by ${ms(meanMs)} in the mean`;
}

function popTable({ pops, soft, hard }: Prediction): string {
  const heads = ['  POP', 'DEMAND', 'AFTER', 'GAINS', 'LOSES', 'LOAD', 'AFTER', ''].map(bold);
  const load = (value: number | undefined) => {
    if (value === undefined) return dim('–');
    return value > hard ? red(percent(value)) : value > soft ? yellow(percent(value)) : percent(value);
  };
  return table([
    heads,
    ...pops.map((pop) => [
      `  ${pop.pop}`,
      percent(pop.shareBefore),
      percent(pop.shareAfter),
      pop.gained > 0 ? `+${percent(pop.gained)}` : '',
      pop.lost > 0 ? `-${percent(pop.lost)}` : '',
      load(pop.loadBefore),
      load(pop.loadAfter),
      limitText(pop, soft, hard),
    ]),
  ]);
}

function limitText({ loadAfter = 0, keeps }: PlannedPop, soft: number, hard: number): string {
  const parts = [
    ...(loadAfter > hard ? [red(`over its hard limit of ${percent(hard)}`)] : []),
    ...(loadAfter > soft && loadAfter <= hard ? [yellow(`over its soft limit of ${percent(soft)}`)] : []),
    ...(keeps < 1 ? [yellow(`full: keeps ${percent(keeps)} of its clients`)] : []),
  ];
  return parts.join(', ');
}

function countryTable({ countries }: Prediction): string {
  const shown = countries.slice(0, 12);
  const rows = shown.map(({ country, demand, moved, meanBeforeMs, meanAfterMs }) => [
    `  ${country || '??'}`,
    percent(demand),
    percent(moved),
    change(meanBeforeMs, meanAfterMs),
  ]);
  const more = countries.length > shown.length ? dim(`  and ${countries.length - shown.length} more: --json\n`) : '';
  return `${table([['  COUNTRY', 'DEMAND', 'MOVED', 'MEAN'].map(bold), ...rows])}${more}`;
}

function worstTable({ harmed: { worst } }: Prediction): string {
  const rows = worst
    .slice(0, 8)
    .map(({ prefix, country, name, from, to, beforeMs, afterMs }) => [
      `  ${prefix}`,
      country,
      name,
      `${from} → ${to}`,
      change(beforeMs, afterMs),
    ]);
  return table([['  HARMED MOST', '', 'NAME', 'POP', 'MEAN'].map(bold), ...rows]);
}

function judgedText({ reasons, moved }: NonNullable<Answer['judged']>): string {
  if (reasons.length > 0) return reasons.map(({ text }) => `  ${red('would be held')}: ${text}\n`).join('');
  if (moved.staged < 0.0005) return '';
  const minutes = limits.publish.windowMs / 60_000;
  return `  ${yellow('in stages')}: ${percent(moved.moved)} goes at once, then ${percent(limits.publish.windowShare)} in ${minutes} min\n`;
}

function percent(share: number): string {
  const value = 100 * share;
  return `${value.toFixed(value > 0 && value < 10 ? 1 : 0)}%`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
