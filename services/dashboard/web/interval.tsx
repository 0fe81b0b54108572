/** Estimates as bars on one scale: the point is the estimate, the bar its 95% interval; an arrow goes on beyond the scale. */
import type { PopEstimate } from '@ufes/core/steering/explanation.ts';
import { msNumber, msText } from './format.ts';

type Bounds = Pick<PopEstimate, 'clientMs' | 'lowMs' | 'highMs'>;

/** Right end of the scale, milliseconds: a round number beyond all estimates and most intervals. */
export function scaleOf(estimates: readonly Bounds[]): number {
  const points = Math.max(10, ...estimates.map(({ clientMs }) => clientMs));
  const highs = estimates.map(({ highMs }) => Math.min(highMs, 1.6 * points));
  const wanted = Math.max(1.1 * points, ...highs);
  const unit = 10 ** Math.floor(Math.log10(wanted));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * unit).find((end) => end >= wanted) ?? wanted;
}

const height = 16;
/** Of the width: left of 0, and right of the scale's end, where the arrow is. */
const [left, right] = [0.02, 0.04];

export function IntervalBar({ estimate, scale, chosen }: { estimate: Bounds; scale: number; chosen: boolean }) {
  const { clientMs, lowMs, highMs } = estimate;
  const at = (ms: number) => left + Math.min(1, Math.max(0, ms / scale)) * (1 - left - right);
  const percent = (share: number) => `${(100 * share).toFixed(2)}%`;
  const isOpen = highMs > scale;
  const text = `${msText(clientMs)}, 95% between ${msNumber(lowMs)} and ${isOpen && highMs >= 10_000 ? 'anything' : msText(highMs)}`;
  const y = height / 2;
  return (
    <svg class="interval-bar" width="100%" height={height} role="img" aria-label={text} data-chosen={chosen}>
      <title>{text}</title>
      <line class="track" x1={percent(left)} x2={percent(1 - right)} y1={y} y2={y} />
      <rect
        class="span"
        x={percent(at(lowMs))}
        y={y - 4}
        width={percent(Math.max(0.008, at(highMs) - at(lowMs)))}
        height="8"
        rx="2"
      />
      {isOpen && (
        <svg x={percent(1 - right)} y="0" width="8" height={height} overflow="visible" aria-hidden="true">
          <path class="open" d={`M1 ${y - 5}L6 ${y}L1 ${y + 5}`} />
        </svg>
      )}
      <circle class="point" cx={percent(at(clientMs))} cy={y} r="4.5" />
    </svg>
  );
}

export function IntervalScale({ scale }: { scale: number }) {
  return (
    <span class="interval-scale" aria-hidden="true">
      <span>0</span>
      <span>{msNumber(scale / 2)}</span>
      <span>{msNumber(scale)} ms</span>
    </span>
  );
}
