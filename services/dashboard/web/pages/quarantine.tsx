/** Quarantine: what was sent and refused, and what was measured and does not count; how much, where from, why. */
import type { ApartState } from '@ufes/core/dashboard.ts';
import type { DisputedPrefix, HeldApart, QuarantinedPrefix, Refused } from '@ufes/core/quarantine.ts';
import { asideWords, refusalWords } from '@ufes/core/quarantine-words.ts';
import type { ComponentChildren } from 'preact';
import { clockText, countText, dateText, msText, shortDurationText } from '../format.ts';
import { usePolled } from '../poll.ts';
import { Card, Empty, Link, MissingParts, Prose } from '../ui.tsx';

const everyMs = 5_000;
const rows = 200;

export function Page() {
  const { value: state, error } = usePolled<ApartState>(`/api/quarantine?limit=${rows}`, everyMs);
  if (state === undefined) {
    return error === undefined ? <div class="loading" aria-busy="true" /> : <Empty title="Not known">{error}</Empty>;
  }
  const { refused, apart, missing, atMs } = state;
  return (
    <div class="apart">
      <MissingParts missing={missing} />
      {error !== undefined && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      <p class="apart-lead">
        What is <b>refused</b> or in <b>quarantine</b> steers nobody. Of <b>disputed</b> places what edges time counts,
        and where GeoIP has them does not.
      </p>
      <Tiles refused={refused} apart={apart} />
      {apart !== undefined && (
        <>
          <InQuarantine apart={apart} atMs={atMs} />
          <Disputed apart={apart} atMs={atMs} />
        </>
      )}
      {refused !== undefined && <RefusedBeacons refused={refused} atMs={atMs} />}
      {apart !== undefined && <SetAside apart={apart} atMs={atMs} />}
    </div>
  );
}

function Tiles({ refused, apart }: { refused: Refused | undefined; apart: HeldApart | undefined }) {
  const day = refused?.reasons.reduce((sum, one) => sum + one.day, 0);
  const aside = apart?.aside.reasons.reduce((sum, one) => sum + one.total, 0);
  return (
    <div class="tiles">
      <Tile title="Refused, last 24 h" value={day}>
        beacons, by this collector
      </Tile>
      <Tile title="In quarantine" value={apart?.quarantined.prefixes}>
        {apart !== undefined && `prefixes, ${countText(apart.quarantined.samples)} samples`}
      </Tile>
      <Tile title="Disputed places" value={apart?.disputed.prefixes}>
        prefixes; GeoIP is wrong there
      </Tile>
      <Tile title="Set aside" value={aside}>
        records that could not be folded, or came twice
      </Tile>
    </div>
  );
}

function Tile(props: { title: string; value: number | undefined; children: ComponentChildren }) {
  const { title, value, children } = props;
  return (
    <section class="card tile" aria-label={title}>
      <h2>{title}</h2>
      <p class="tile-value" data-none={value === 0}>
        {value === undefined ? '–' : countText(value)}
      </p>
      <p class="note">{children}</p>
    </section>
  );
}

function Ago({ ms, atMs }: { ms: number; atMs: number }) {
  return <span title={`${dateText(ms)} ${clockText(ms)}`}>{shortDurationText((atMs - ms) / 1000)} ago</span>;
}

function Prefix({ prefix }: { prefix: string }) {
  return (
    <span class="mono">
      <Link href={`/explain?client=${encodeURIComponent(prefix)}`}>{prefix}</Link>
    </span>
  );
}

function Where({ place, asn }: { place: string | undefined; asn: string | undefined }) {
  return (
    <>
      {place ?? 'not known'}
      {asn !== undefined && <span class="sub">{asn}</span>}
    </>
  );
}

/** How far below what is possible: the bar is what was measured, all of it what the place allows at least. */
function Below({ target, ms, floorMs }: { target: string; ms: number; floorMs: number | undefined }) {
  const share = floorMs === undefined || floorMs === 0 ? 0 : Math.min(1, ms / floorMs);
  return (
    <div class="below">
      <span>
        <b>{target.replace(/^pop:/, '')}</b> in {msText(ms)}
        {floorMs !== undefined && <span class="sub-inline"> · {msText(floorMs)} at least from there</span>}
      </span>
      <svg class="below-bar" aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 4">
        <rect width="100" height="4" fill="var(--track)" />
        <rect width={100 * share} height="4" fill="var(--down)" />
      </svg>
    </div>
  );
}

function shown(all: number, some: number): string {
  const count = all > some ? `the newest ${countText(some)} of ${countText(all)}` : countText(all);
  return `${count} ${all === 1 ? 'prefix' : 'prefixes'}`;
}

function InQuarantine({ apart, atMs }: { apart: HeldApart; atMs: number }) {
  const { prefixes, rows: list } = apart.quarantined;
  if (list.length === 0) {
    return (
      <Card title="In quarantine">
        <Empty title="Nothing is in quarantine">
          A browser that says it is nearer to a PoP than light allows, from where GeoIP has it, would be listed here.
        </Empty>
      </Card>
    );
  }
  return (
    <Card title="In quarantine" note={`${shown(prefixes, list.length)}: claimed to be nearer than light allows`}>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Prefix</th>
              <th>Where GeoIP has it</th>
              <th>Claimed</th>
              <th class="number wide">Samples</th>
              <th class="number">Last</th>
            </tr>
          </thead>
          <tbody>
            {list.map((one) => (
              <QuarantinedRow key={one.prefix} one={one} atMs={atMs} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="advice">
        One prefix: somebody lies, and it moved nobody. Many of one AS or place: GeoIP is wrong about it; wait for the
        edges to say so too, or give GeoIP data of your own.
      </p>
    </Card>
  );
}

function QuarantinedRow({ one, atMs }: { one: QuarantinedPrefix; atMs: number }) {
  const { prefix, place, asn, isDisputed, claims } = one;
  const samples = claims.reduce((sum, claim) => sum + claim.samples, 0);
  return (
    <tr>
      <td>
        <Prefix prefix={prefix} />
        {isDisputed && <span class="sub">disputed by now</span>}
      </td>
      <td>
        <Where place={place} asn={asn} />
      </td>
      <td>
        {claims.map(({ target, ms, floorMs }) => (
          <Below key={target} target={target} ms={ms} floorMs={floorMs} />
        ))}
      </td>
      <td class="number wide">{countText(samples)}</td>
      <td class="number">
        <Ago ms={Math.max(...claims.map(({ lastAtMs }) => lastAtMs))} atMs={atMs} />
      </td>
    </tr>
  );
}

function Disputed({ apart, atMs }: { apart: HeldApart; atMs: number }) {
  const { prefixes, rows: list } = apart.disputed;
  if (list.length === 0) {
    return (
      <Card title="Disputed places">
        <Empty title="No place is disputed">
          Edges have timed nobody faster than light allows from where GeoIP has them.
        </Empty>
      </Card>
    );
  }
  return (
    <Card title="Disputed places" note={`${shown(prefixes, list.length)}, steered by what edges time and not by place`}>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Prefix</th>
              <th>Where GeoIP has it</th>
              <th>Timed by the edge</th>
              <th class="number wide">Samples</th>
              <th class="number">Last</th>
            </tr>
          </thead>
          <tbody>
            {list.map((one) => (
              <DisputedRow key={one.prefix} one={one} atMs={atMs} />
            ))}
          </tbody>
        </table>
      </div>
      <p class="advice">Nothing has to be done. A correction of the GeoIP data helps prefixes that nobody measures.</p>
    </Card>
  );
}

function DisputedRow({ one, atMs }: { one: DisputedPrefix; atMs: number }) {
  const { prefix, place, asn, target, ms, floorMs, samples, lastAtMs } = one;
  return (
    <tr>
      <td>
        <Prefix prefix={prefix} />
      </td>
      <td>
        <Where place={place} asn={asn} />
      </td>
      <td>
        <Below target={target} ms={ms} floorMs={floorMs} />
      </td>
      <td class="number wide">{countText(samples)}</td>
      <td class="number">
        <Ago ms={lastAtMs} atMs={atMs} />
      </td>
    </tr>
  );
}

type Words = Readonly<Record<string, readonly [what: string, why: string]>>;

function Reason({ words, reason }: { words: Words; reason: string }) {
  const [what, why] = words[reason] ?? [reason, ''];
  return (
    <>
      <span class="strong">{what}</span>
      <span class="sub">
        <Prose text={why} />
      </span>
    </>
  );
}

function RefusedBeacons({ refused, atMs }: { refused: Refused; atMs: number }) {
  const reasons = refused.reasons.filter(({ total }) => total > 0).sort((a, b) => b.day - a.day || b.total - a.total);
  const since = `counted for ${shortDurationText((atMs - refused.sinceMs) / 1000)}`;
  if (reasons.length === 0) {
    return (
      <Card title="Refused beacons" note={since}>
        <Empty title="Nothing was refused">Every token held, and nobody sent more than the caps allow.</Empty>
      </Card>
    );
  }
  return (
    <Card title="Refused beacons" note={since}>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Why</th>
              <th class="number">Last 24 h</th>
              <th class="number">In all</th>
            </tr>
          </thead>
          <tbody>
            {reasons.map(({ reason, day, total }) => (
              <tr key={reason}>
                <td>
                  <Reason words={refusalWords} reason={reason} />
                </td>
                <td class="number">{countText(day)}</td>
                <td class="number">{countText(total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="scroll from">
        <table>
          <thead>
            <tr>
              <th>Refused most</th>
              <th>Why</th>
              <th class="number">Beacons</th>
              <th class="number">Last</th>
              <th class="wide">Source</th>
            </tr>
          </thead>
          <tbody>
            {refused.prefixes.map(({ prefix, reason, count, lastAtMs, source }) => (
              <tr key={`${prefix} ${reason} ${source}`}>
                <td>
                  <Prefix prefix={prefix} />
                </td>
                <td>{(refusalWords as Words)[reason]?.[0] ?? reason}</td>
                <td class="number">{countText(count)}</td>
                <td class="number">
                  <Ago ms={lastAtMs} atMs={atMs} />
                </td>
                <td class="wide">{source}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function SetAside({ apart, atMs }: { apart: HeldApart; atMs: number }) {
  const { aside, loose } = apart;
  return (
    <Card title="Set aside by the mapper" note={`counted for ${shortDurationText((atMs - aside.sinceMs) / 1000)}`}>
      {loose.prefixes > 0 && (
        <p class="advice">
          {countText(loose.samples)} samples of {countText(loose.prefixes)} prefixes came by plans of other prefixes of
          their AS. They count where no edge has timed the prefix: not for {countText(loose.outranked)} of these.
        </p>
      )}
      {aside.reasons.length === 0 ? (
        <Empty title="Nothing was set aside">Every record could be folded, and no token came twice.</Empty>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Why</th>
                <th class="number">Records</th>
                <th class="wide">Newest</th>
              </tr>
            </thead>
            <tbody>
              {aside.reasons.map(({ reason, total }) => (
                <tr key={reason}>
                  <td>
                    <Reason words={asideWords} reason={reason} />
                  </td>
                  <td class="number">{countText(total)}</td>
                  <td class="wide">
                    <Newest apart={apart} reason={reason} atMs={atMs} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Newest({ apart, reason, atMs }: { apart: HeldApart; reason: string; atMs: number }) {
  const newest = apart.aside.rows.find((row) => row.reason === reason);
  if (newest === undefined) return null;
  return (
    <>
      <Ago ms={newest.atMs} atMs={atMs} />, {newest.collector}, shard {newest.shard}
      <span class="sub mono cut record">{newest.text}</span>
    </>
  );
}
