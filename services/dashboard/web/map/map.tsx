/**
 * The map: land, origins, users as dots, PoPs with state, load and name. Drawn for the width it is given. The picture is
 * one image to assistive technology; over each PoP lies a button that tells of it, and under the pointer the nearest
 * thing does.
 */
import type { WorldPop, WorldState, WorldUser } from '@ufes/core/dashboard.ts';
import type { ComponentChildren, TargetedPointerEvent } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { latencyColour, popColour } from '../colours.ts';
import { countText, durationText, loadText, msText } from '../format.ts';
import { StateShape } from '../ui.tsx';
import { type Dot, dotRadius, dotsOf, type Geometry, geometryOf, placeLabels } from './geometry.ts';

export type Colouring = 'pop' | 'latency';

interface Thing {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly tell: () => ComponentChildren;
}

export function WorldMap(props: {
  world: Omit<WorldState, 'users'>;
  users: readonly WorldUser[];
  colouring: Colouring;
}) {
  const { world, users, colouring } = props;
  const { pops, origins } = world;
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const geometry = useMemo(() => (width > 0 ? geometryOf(width) : undefined), [width]);
  const dots = useMemo(() => (geometry ? dotsOf(users, geometry) : []), [users, geometry]);
  const [shown, setShown] = useState<Thing>();
  if (geometry === undefined) return <div class="map" ref={frame} />;

  const popThings = pops.map((pop) => thing(geometry, pop, 14, () => <PopTip pop={pop} />));
  const originThings = origins.map((one) => thing(geometry, one, 8, () => <strong>Origin {one.id}</strong>));
  const dotThings = dots.map((dot) => ({
    ...dot,
    radius: Math.max(6, dotRadius(dot.users, geometry.width)),
    tell: () => <DotTip dot={dot} />,
  }));
  const point = (event: TargetedPointerEvent<HTMLDivElement>) => {
    const { left, top } = event.currentTarget.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    setShown(nearest(popThings, x, y) ?? nearest(originThings, x, y) ?? nearest(dotThings, x, y));
  };
  return (
    <div class="map" ref={frame} onPointerMove={point} onPointerLeave={() => setShown(undefined)}>
      <svg width={geometry.width} height={geometry.height} role="img" aria-label={mapText(world, users)}>
        <path class="land" d={geometry.land} />
        <path class="borders" d={geometry.borders} />
        {colouring === 'pop' && <Arcs dots={dots} pops={pops} geometry={geometry} />}
        <Dots dots={dots} pops={pops} colouring={colouring} width={geometry.width} />
        <g class="origins">
          {originThings.map(({ x, y }, i) => (
            <rect
              key={origins[i]!.id}
              x={x - 4.5}
              y={y - 4.5}
              width="9"
              height="9"
              transform={`rotate(45 ${x} ${y})`}
            />
          ))}
        </g>
        <Pops pops={pops} places={popThings} origins={originThings} geometry={geometry} />
      </svg>
      {pops.map((pop, i) => (
        <button
          key={pop.id}
          type="button"
          class="spot"
          data-pop={pop.id}
          data-state={pop.state}
          style={{ left: `${popThings[i]!.x}px`, top: `${popThings[i]!.y}px` }}
          aria-label={popText(pop)}
          onFocus={() => setShown(popThings[i])}
          onBlur={() => setShown(undefined)}
        />
      ))}
      {shown && (
        <div
          class={`tip ${shown.x > geometry.width / 2 ? 'left' : ''}`}
          style={{ left: `${shown.x}px`, top: `${shown.y}px` }}
        >
          {shown.tell()}
        </div>
      )}
    </div>
  );
}

function thing(
  geometry: Geometry,
  at: { longitude: number; latitude: number },
  radius: number,
  tell: () => ComponentChildren,
): Thing {
  const [x, y] = geometry.point(at.longitude, at.latitude);
  return { x, y, radius, tell };
}

function nearest(things: readonly Thing[], x: number, y: number): Thing | undefined {
  let best: Thing | undefined;
  let bestAway = Number.POSITIVE_INFINITY;
  for (const one of things) {
    const away = Math.hypot(one.x - x, one.y - y);
    if (away > one.radius || away >= bestAway) continue;
    best = one;
    bestAway = away;
  }
  return best;
}

function useWidth(frame: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const { current } = frame;
    if (current === null) return;
    const observer = new ResizeObserver(() => setWidth(Math.floor(current.clientWidth)));
    observer.observe(current);
    return () => observer.disconnect();
  }, [frame, width === 0]);
  return width;
}

/** Who is sent where. */
function Arcs({ dots, pops, geometry }: { dots: readonly Dot[]; pops: readonly WorldPop[]; geometry: Geometry }) {
  const ids = pops.map((pop) => pop.id).join();
  const arcs = useMemo(() => {
    const byPop = new Map<number, string>();
    for (const dot of dots) {
      const index = pops.findIndex((pop) => pop.id === dot.pop);
      const pop = pops[index];
      if (pop === undefined) continue;
      const arc = geometry.arc([dot.longitude, dot.latitude], [pop.longitude, pop.latitude]);
      byPop.set(index, (byPop.get(index) ?? '') + arc);
    }
    return [...byPop];
    // PoPs come anew every second; their places change only when they do.
  }, [dots, geometry, ids]);
  return (
    <g class="arcs">
      {arcs.map(([index, path]) => (
        <path key={index} d={path} stroke={popColour(index)} />
      ))}
    </g>
  );
}

function Dots(props: { dots: readonly Dot[]; pops: readonly WorldPop[]; colouring: Colouring; width: number }) {
  const { dots, pops, colouring, width } = props;
  const indexOf = new Map(pops.map((pop, index) => [pop.id, index]));
  return (
    <g class="dots">
      {dots.map((dot) => (
        <circle
          key={dot.key}
          cx={dot.x}
          cy={dot.y}
          r={dotRadius(dot.users, width)}
          fill={colouring === 'pop' ? popColour(indexOf.get(dot.pop ?? '') ?? -1) : latencyColour(dot.ms)}
        />
      ))}
    </g>
  );
}

/** Load as a share of a circle around the mark. */
function LoadRing({ share }: { share: number }) {
  const r = 11.5;
  const around = 2 * Math.PI * r;
  const part = Math.min(1, Math.max(0, share));
  return (
    <g class="ring" fill="none" stroke-width="2.6">
      <circle r={r} stroke="var(--ring)" />
      {part > 0 && (
        <circle
          r={r}
          stroke={part >= 0.8 ? 'var(--down)' : 'var(--text)'}
          stroke-dasharray={`${part * around} ${around}`}
          transform="rotate(-90)"
        />
      )}
    </g>
  );
}

function Pops(props: {
  pops: readonly WorldPop[];
  places: readonly Thing[];
  origins: readonly Thing[];
  geometry: Geometry;
}) {
  const { pops, places, origins, geometry } = props;
  const marks = pops.map((pop, i) => ({ x: places[i]!.x, y: places[i]!.y, text: pop.title }));
  const labels = placeLabels(marks, origins, geometry.width, geometry.height);
  return (
    <g class="pops">
      {pops.map((pop, index) => {
        const { x, y } = marks[index]!;
        const label = labels[index];
        return (
          <g key={pop.id} class="pop">
            <g transform={`translate(${x} ${y})`}>
              <circle class="back" r="14" />
              {pop.loadPerMille !== undefined && pop.state !== 'unknown' && (
                <LoadRing share={pop.loadPerMille / 1000} />
              )}
              <StateShape state={pop.state} size={13} colour={popColour(index)} />
            </g>
            {label && (
              <text x={label.x} y={label.y} text-anchor={label.anchor}>
                {pop.title}
              </text>
            )}
          </g>
        );
      })}
    </g>
  );
}

function PopTip({ pop }: { pop: WorldPop }) {
  return (
    <>
      <strong>{pop.title}</strong>
      <span>
        {pop.state}
        {pop.sinceMs === undefined ? '' : ` for ${durationText((Date.now() - pop.sinceMs) / 1000)}`}
      </span>
      {pop.loadPerMille !== undefined && (
        <span>
          load {loadText(pop.loadPerMille)} of {countText(pop.capacity)} requests/s
        </span>
      )}
      <span>{pop.vips.join(', ')}</span>
    </>
  );
}

function DotTip({ dot }: { dot: Dot }) {
  return (
    <>
      <strong>{dot.place}</strong>
      <span>{dot.users === 1 ? '1 measured prefix' : `${countText(dot.users)} measured prefixes`}</span>
      <span>
        {dot.pop === undefined ? 'no PoP' : `to ${dot.pop}`}
        {dot.ms === undefined ? '' : `, ${msText(dot.ms)}`}
      </span>
    </>
  );
}

function popText(pop: WorldPop): string {
  const load = pop.loadPerMille === undefined ? '' : `, load ${loadText(pop.loadPerMille)}`;
  return `PoP ${pop.title}: ${pop.state}${load}`;
}

function mapText(world: Omit<WorldState, 'users'>, users: readonly WorldUser[]): string {
  return `World map with ${world.pops.length} PoPs, ${world.origins.length} origins and ${users.length} measured prefixes`;
}
