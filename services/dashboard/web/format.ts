/** Numbers, times and names as people read them. */
const regions = new Intl.DisplayNames(['en'], { type: 'region' });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function countText(n: number): string {
  return whole.format(n);
}

/** `8.4`, `142`, `1,204`; never a bare zero for something that was measured. */
export function msNumber(ms: number): string {
  return ms < 9.95 ? ms.toFixed(1) : whole.format(ms);
}

export function msText(ms: number): string {
  return `${msNumber(ms)} ms`;
}

/** With a sign: `−54%`. */
export function percentText(fraction: number): string {
  const percent = Math.round(fraction * 100);
  return percent === 0 ? '±0%' : `${percent < 0 ? '−' : '+'}${Math.abs(percent)}%`;
}

/** The largest unit alone, for narrow columns: `4 s`, `12 min`, `3 h`, `6 d`. */
export function shortDurationText(seconds: number): string {
  return durationText(seconds).split(' ').slice(0, 2).join(' ');
}

/** Two units at most: `4 s`, `12 min`, `3 h 5 min`, `6 d 2 h`. */
export function durationText(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return join(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return join(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

function join(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** Load in per mille of capacity: `0.4%`, `12%`. */
export function loadText(perMille: number): string {
  return `${(perMille / 10).toFixed(perMille > 0 && perMille < 100 ? 1 : 0)}%`;
}

export function bytesText(bytes: number): string {
  return bytes < 1e9 ? `${whole.format(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

export function clockText(ms: number): string {
  return new Date(ms).toLocaleTimeString('en-GB');
}

/** `24 Nov 2026`, in the time zone of this browser. */
export function dateText(ms: number): string {
  return new Date(ms).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}

/** A share as percent: `0.4%`, `12%`. */
export function shareText(share: number): string {
  const percent = 100 * share;
  return `${percent.toFixed(percent > 0 && percent < 9.95 ? 1 : 0)}%`;
}

/** The name of a country by its code; the code itself when it has none. */
export function countryText(code: string | undefined): string {
  if (code === undefined || code === '') return 'Unknown';
  try {
    return regions.of(code) ?? code;
  } catch {
    return code;
  }
}
