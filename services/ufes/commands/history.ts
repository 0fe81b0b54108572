/** `ufes history`: what was published, held and rolled back, why, and what it did. */
import { parseArgs } from 'node:util';
import type { PlanRecord, Publication } from '@ufes/core/steering/publication.ts';
import { adminGet } from '@ufes/io/admin-client.ts';
import { systemClock } from '@ufes/io/clock.ts';
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

interface Answer {
  readonly held?: { readonly sinceMs: number; readonly reasons: Publication['reasons']; readonly wanted: number };
  readonly publications: readonly Publication[];
}

export const history: Command = {
  usage: 'history [--limit 20] [--all]',
  summary: 'maps that were published, held or rolled back: when, why, what moved, and what it did',
  details:
    '\nMOVED is the share of demand that went elsewhere, PREDICTED the change of the mean round trip, MEASURED the gain of the\ncells that moved a quarter of an hour later, beside the predicted one. Maps that bring new estimates and move nobody are\nshown by --all. Seven days are kept.\n',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        ...stateOption,
        ...jsonOption,
        limit: { type: 'string', default: '20' },
        all: { type: 'boolean', default: false },
      },
    });
    if (!/^[1-9]\d{0,5}$/.test(values.limit)) throw new UsageError(`--limit ${values.limit}: a whole number is wanted`);
    const path = `/history?limit=${values.limit}${values.all ? '&all=1' : ''}`;
    const answer = await adminGet<Answer>(stateFolder(values.state), 'mapper', path);
    process.stdout.write(values.json ? `${JSON.stringify(answer, null, 2)}\n` : toText(answer));
    return 0;
  },
};

function toText({ held, publications }: Answer): string {
  const nowMs = systemClock.nowMs();
  const lines = held === undefined ? '' : heldText(held, nowMs);
  if (publications.length === 0) return `${lines}nothing was published that moved anybody; --all shows the rest\n`;
  const heads = ['WHEN', 'WHAT', 'VERSION', 'MOVED', 'PREDICTED', 'MEASURED', 'WHY'].map(bold);
  return `${lines}${table([heads, ...publications.map((one) => rowOf(one, nowMs))])}`;
}

function heldText({ sinceMs, reasons, wanted }: NonNullable<Answer['held']>, nowMs: number): string {
  const why = reasons.map(({ text }) => `  ${text}\n`).join('');
  return `${red('held')} for ${ago(nowMs - sinceMs)}: ${percent(wanted)} of demand would move\n${why}\n`;
}

function rowOf(one: Publication, nowMs: number): string[] {
  const { kind, version = '', moved, predicted, measured, plan } = one;
  if (plan !== undefined) return planRow(one, plan, nowMs);
  const shade = kind === 'publish' ? green : kind === 'hold' ? red : yellow;
  return [
    `${ago(nowMs - one.atMs)} ago`,
    shade(kind),
    version,
    moved === undefined ? '' : percent(moved.moved),
    predicted === undefined ? '' : `${signed(predicted.meanAfterMs - predicted.meanBeforeMs)} ms`,
    measured === undefined ? '' : `${signed(-measured.gainMs)} ms (${signed(-measured.predictedGainMs)})`,
    whyOf(one),
  ];
}

/** Moved and mean are predicted; what happened when its configuration came stands beside them. */
function planRow({ atMs, by }: Publication, plan: PlanRecord, nowMs: number): string[] {
  const { file, drained, moved, meanBeforeMs, meanAfterMs, measured, appliedAtMs } = plan;
  const drains = drained.length === 0 ? '' : `, ${drained.join(', ')} drained`;
  const state = appliedAtMs === undefined ? 'not in service' : `in service ${ago(nowMs - appliedAtMs)} ago`;
  const error =
    measured === undefined
      ? ''
      : `; was ${percent(measured.moved)} moved, error ${signed(100 * (meanAfterMs / Math.max(0.001, measured.meanAfterMs) - 1))}% of the mean`;
  return [
    `${ago(nowMs - atMs)} ago`,
    dim('plan'),
    '',
    percent(moved),
    `${signed(meanAfterMs - meanBeforeMs)} ms`,
    measured === undefined ? '' : `${signed(measured.meanAfterMs - meanBeforeMs)} ms`,
    `${file}${drains}: ${state}${error}${by === undefined ? '' : `  ${dim(by)}`}`,
  ];
}

function whyOf({ reasons, restores, untilMs, by, why, moved }: Publication): string {
  if (restores !== undefined) {
    return `back to ${restores} until ${new Date(untilMs ?? 0).toISOString()}  ${dim(`${by ?? ''}: ${why ?? ''}`)}`;
  }
  if (by !== undefined) return dim(`${by}: ${why ?? ''}`);
  const parts = [
    ...reasons.map(({ text }) => text),
    ...(moved === undefined ? [] : partsOf(moved)),
    ...(why === undefined ? [] : [why]),
  ];
  return parts.join('; ');
}

function partsOf({ exempt, first, discretionary, staged, cells }: NonNullable<Publication['moved']>): string[] {
  const kinds: [number, string][] = [
    [exempt, 'off PoPs that cannot'],
    [first, 'first estimates'],
    [discretionary, 'better PoPs'],
    [staged, 'waits'],
  ];
  const said = kinds.filter(([share]) => share > 0).map(([share, what]) => `${percent(share)} ${what}`);
  return cells > 0 ? [`${cells} ${cells === 1 ? 'cell' : 'cells'}: ${said.join(', ')}`] : said;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function signed(ms: number): string {
  return `${ms > 0 ? '+' : ''}${ms.toFixed(1)}`;
}
